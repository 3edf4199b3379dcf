"""Codes of what is found before anything is changed."""

from kafka_rolling_restart.codes.entry import Chapter, Entry

REGISTRY = Chapter(
    "ZooKeeper, the lock and the plan",
    "Exit status 2, 3 or 6. No broker was stopped.",
    (
        Entry(
            "registry-unreachable",
            "ZooKeeper, or a cluster without it, does not answer",
            "KRaft: no broker answered in time, or the metadata quorum does not. ZooKeeper: no "
            "server of the ensemble answered in time, so it is not known which brokers are "
            "registered. Unknown is treated as not healthy. The line has the result for each "
            "server: 'Connection refused' means that it does not run or the port is wrong; 'Name "
            "or service not known' means that the name is wrong; 'accepts connections, and says "
            "nothing' means that it hangs or has no quorum.",
            "KRaft: check that the controllers and the brokers run, then check "
            "`--bootstrap-server` and `--command-config`. ZooKeeper: check that it runs, then "
            "check `--zookeeper`. Or check `broker_list` and `zookeeper` in the configuration. "
            "Leave out /CHROOT below if the address has no path.",
            (
                "kafka-metadata-quorum.sh --bootstrap-server HOST:9092 describe --status",
                "zkServer.sh status",
                "zookeeper-shell.sh HOST:2181/CHROOT ls /brokers/ids",
            ),
        ),
        Entry(
            "unit-not-found",
            "systemd does not know the unit of a command",
            "The stop or the start command names a unit that the host does not have: it is "
            "misspelled, or Kafka runs under another name there. sudo may allow it all the same. "
            "No broker was stopped.",
            "Find the name of the unit on the host, and correct `--stop-command` and "
            "`--start-command`, or those of controllers.",
            ("ssh HOST \"systemctl list-units --all '*kafka*'\"",),
        ),
        Entry(
            "kafka-login-refused",
            "Kafka refuses the login",
            "The user or the password is wrong, or the listener at this port wants another kind of "
            "login, or none. The line says which.",
            "Check `security.protocol`, `sasl.mechanism` and `sasl.jaas.config` in the file of "
            "client properties. The same file works with Kafka's own tools.",
            ("kafka-broker-api-versions.sh --bootstrap-server HOST:9092 --command-config FILE",),
        ),
        Entry(
            "kafka-access-denied",
            "Kafka does not give us a right that is needed",
            "The login is known, and its ACLs do not allow what was asked. Describe on the cluster "
            "is needed for the metadata quorum, Describe on all topics for the state of the "
            "partitions, and Read on the group for the lock.",
            "Add the right with the `kafka-acls.sh` command in the line.",
            ("kafka-acls.sh --bootstrap-server HOST:9092 --list --principal User:NAME",),
        ),
        Entry(
            "zookeeper-access-denied",
            "ZooKeeper does not give us a right that is needed",
            "The ACL of the node that the line names does not allow this login to read or to "
            "write. Writing is needed below `/kafka-rolling-restart`, where the lock is.",
            "Use the login that has the right (`--zookeeper-user`), or change the ACL with "
            "`setAcl`.",
            ("zookeeper-shell.sh HOST:2181/CHROOT getAcl /kafka-rolling-restart",),
        ),
        Entry(
            "zookeeper-login-refused",
            "ZooKeeper refuses the login",
            "ZooKeeper does not know the name, or the password is wrong.",
            "Check `--zookeeper-user`, `--zookeeper-auth` and the password.",
        ),
        Entry(
            "registration-invalid",
            "a registration cannot be used",
            "What the broker has registered cannot be understood, or it has no host name to "
            "connect to.",
            "Read the registration, then correct `advertised.listeners` of that broker.",
            ("zookeeper-shell.sh HOST:2181/CHROOT get /brokers/ids/ID",),
        ),
        Entry(
            "listener-unknown",
            "a broker does not have the listener of `--listener`",
            "The registration of that broker has other listeners. The line lists them.",
            "Correct `--listener`.",
        ),
        Entry(
            "no-broker-registered",
            "no broker is registered at this address",
            "The path behind the servers (the chroot) is another one, or all brokers are down, "
            "or this is a KRaft cluster. The line lists the paths that have a `/brokers/ids`.",
            "Correct the path in `--zookeeper` or in the configuration. Name a KRaft cluster with "
            "`--bootstrap-server`.",
        ),
        Entry(
            "several-brokers-on-one-host",
            "several brokers run on one host",
            "A stop command could not tell which of them is meant. This is not supported.",
            "Restart these brokers by hand, one at a time.",
        ),
        Entry(
            "brokers-missing",
            "fewer brokers are registered than `broker_list` has (warning)",
            "Some brokers are down now. They will be neither checked nor restarted, and one more "
            "restart may be one too many.",
            "Start the brokers that are down, then run the command again.",
        ),
        Entry(
            "another-run",
            "another run restarts this cluster",
            "Another run holds the lock of this cluster. The line has its user, host, pid and "
            "time.",
            "Wait for that run. If it was killed, its lock disappears within 10 s, in KRaft "
            "within 15 s.",
        ),
        Entry(
            "report-in-use",
            "another run writes to the file of `--report`",
            "That run is still going on, and the file will be needed if it is killed.",
            "Wait for that run, or use another file. Each cluster needs a file of its own.",
        ),
        Entry(
            "report-of-killed-run",
            "the last run was killed while a broker was down (warning)",
            "The file of `--report` is that of a run that did not end. It is kept under another "
            "name. The broker that it had stopped may be DOWN.",
            "Check that broker at once. If it does not run, start it on its host with the command "
            "in the line.",
        ),
        Entry(
            "lock-open-to-all",
            "anyone can delete the lock (note)",
            "An earlier run without a login made the node of the lock, so anyone who reaches "
            "ZooKeeper can delete it.",
            "Log in to zookeeper-shell with the same login, and run the `setAcl` of the line.",
        ),
        Entry(
            "password-host-not-listed",
            "a password would go to a host that is not in `broker_list`",
            "ZooKeeper names this host, and the configuration does not. If ZooKeeper is "
            "world-writable, anyone can register a host of their own to receive the password. No "
            "password was sent.",
            "If the host is yours, add it to `broker_list`, or add the `--allow-hosts` of the "
            "line.",
            ("zookeeper-shell.sh HOST:2181/CHROOT get /brokers/ids/ID",),
        ),
        Entry(
            "not-confirmed",
            "the answer was not yes",
            "The answer was not `y`, or it could not be read. Nothing was changed.",
            "Run the command again and answer `y`.",
        ),
        Entry(
            "preflight-failed",
            "the preflight found problems",
            "Each problem has a line of its own above, with a code of its own. No broker was "
            "stopped.",
            "Fix all of them, then check again without changing anything.",
            ("kafka-rolling-restart ... --dry-run",),
        ),
    ),
)
HOSTS = Chapter(
    "SSH, sudo and metrics",
    "The preflight (exit status 3) has these as problems; during a run they tell why a host could "
    "not be asked.",
    (
        Entry(
            "ssh-unreachable",
            "no SSH connection to the host",
            "Nothing answers at that address and port, or a hop or a ProxyCommand on the way "
            "failed. 'No SSH server answers there, though the port is open' means that the host "
            "hangs, or that something else listens there.",
            "Run the `ssh` command of the line.",
            ("ssh -v HOST true",),
        ),
        Entry(
            "login-refused",
            "SSH refused the login",
            "The host was reached and did not accept the user, the key or the password.",
            "Check the keys of the agent, and User and IdentityFile in `~/.ssh/config`.",
            ("ssh -v HOST true", "ssh-add -l"),
        ),
        Entry(
            "host-key-unknown",
            "the host key is not known",
            "`known_hosts` has no key of this host.",
            "Compare the fingerprint of the line with the one on the host's console. If they are "
            "the same, run the command of the line; it adds a key of the same kind.",
            ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",),
        ),
        Entry(
            "host-key-changed",
            "the host key is another one than before",
            "The host was installed again, its address belongs to another host now, or somebody "
            "intercepts the connection.",
            "Find out which before you run the command of the line.",
            ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",),
        ),
        Entry(
            "host-key-revoked",
            "the host key is revoked",
            "A file of yours says that this key must not be trusted any more. Nobody must log in "
            "there.",
            "Ask who revoked the key, and give the host a new one.",
        ),
        Entry(
            "host-key-added",
            "a host key was added to `known_hosts` (warning)",
            "`StrictHostKeyChecking` is `accept-new` or `no`, so the unknown key was added without "
            "a question.",
            "Compare the fingerprint of the line with the one on the host's console.",
            ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",),
        ),
        Entry(
            "password-not-sent",
            "no password is sent to a host whose key was added by this run",
            "This run has just added the host key, so nobody has compared it yet.",
            "Compare the fingerprint with the one on the host's console. If they are the same, run "
            "the command again.",
            ("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",),
        ),
        Entry(
            "host-keys-unreadable",
            "a file with host keys cannot be used",
            "A `known_hosts` file or the file of `RevokedHostKeys` cannot be read or has a "
            "format that is not supported. `ssh` refuses all hosts then as well.",
            "Correct the file that the line names.",
        ),
        Entry(
            "command-not-allowed",
            "sudo does not allow the command",
            "sudoers does not allow the stop or start command to this user, or the command is "
            "spelled differently. sudo compares it word for word.",
            "Compare `--stop-command` and `--start-command` with what sudo lists on the host.",
            ("ssh -t HOST sudo -ll",),
        ),
        Entry(
            "sudo-asks-password",
            "sudo would ask for a password",
            "The command is allowed, but the last matching entry of sudoers asks for a password.",
            "Put the entry with NOPASSWD last in sudoers, or add `--ask-sudo-password`.",
            ("ssh -t HOST sudo -ll",),
        ),
        Entry(
            "sudo-listing-unclear",
            "it is not clear whether sudo would ask for a password",
            "An entry for the command has a regular expression, a digest or a backslash, or a "
            "default of sudoers decides. A password that sudo does not ask for would be read by "
            "the command itself.",
            "Put a plain entry for the command last in sudoers.",
            ("ssh -t HOST sudo -ll",),
        ),
        Entry(
            "sudo-password-refused",
            "sudo does not accept the password",
            "The password is wrong, or this user may not use sudo. It was tried once, because sudo "
            "counts tries.",
            "Check the password on the host.",
            ("ssh -t HOST sudo -v",),
        ),
        Entry(
            "command-not-found",
            "the host does not have the command",
            "The first word of the stop or start command is not in the PATH of a command over SSH.",
            "Give the full path in `--stop-command` or `--start-command`.",
            ("ssh HOST 'command -v service'",),
        ),
        Entry(
            "no-metrics",
            "the metrics of a broker cannot be read",
            "'It reaches no JVM at': the broker is down, or its JMX port is another one "
            "(`--jmxproxy-prefix`), or the port is not that of JMXProxy (`--jmxproxy-port`). "
            "'Connection refused': JMXProxy does not run there, or its port is another one. 'Did "
            "not answer within': JMXProxy or the JVM hangs; with many partitions use a longer "
            "`--metrics-timeout`. 'Credentials are wrong' and 'is not allowed there': check the "
            "configuration of JMXProxy. 'Has no metric ... yet': the broker is starting.",
            "Run the `curl` command of the line.",
            ("curl -i http://HOST:9090/jmxproxy/localhost:9099/java.lang:type=Runtime/Uptime",),
        ),
        Entry(
            "same-jvm-twice",
            "two brokers show the same JVM",
            "The metrics of two brokers come from one JVM, so the wrong broker would be watched.",
            "Check whether the two names lead to the same host, and check `--jmxproxy-prefix`.",
            ("getent hosts HOST",),
        ),
        Entry(
            "metrics-cached",
            "the metrics may be old, because JMXProxy keeps its answers",
            "JMXProxy refuses to empty its cache, so a health check could not see what happened "
            "since.",
            "Allow DELETE in JMXProxy (3.4.0 has it), or set its cache duration to 0. "
            "`--allow-cached-metrics` accepts old numbers: each check then waits until the cache "
            "has run out, and a partition may be under-replicated for as long without being seen.",
            ("curl -i -X DELETE http://HOST:9090/jmxproxy/localhost:9099",),
        ),
        Entry(
            "process-not-visible",
            "the broker's process cannot be seen on its host (note)",
            "`ps` does not show the pid of the JVM; it may run in a container. Whether the "
            "broker is gone is then judged by its registration and its metrics alone.",
            "Nothing must be done. To prove a stop by the process, run the broker outside of a "
            "container.",
        ),
        Entry(
            "process-check-failed",
            "the broker's process could not be looked for",
            "SSH to the host failed, or `ps` there answered something else. No start is sent "
            "while the old process may be there; the run tries again, and at the time limit it "
            "starts the broker in any case.",
            "Fix SSH to that host.",
            ("ssh HOST ps -p PID",),
        ),
        Entry(
            "no-more-threads",
            "this machine has no more threads",
            "A limit of this machine (`ulimit -u`, or that of a container) is reached. The broker "
            "was not stopped.",
            "Raise the limit, then run the command again.",
            ("ulimit -u",),
        ),
    ),
)
