"""Who is a member of the cluster, and the lock. Only this folder knows ZooKeeper and kazoo."""
