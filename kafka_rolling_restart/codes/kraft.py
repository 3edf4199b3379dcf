"""Codes of what only a cluster without ZooKeeper has: its quorum, its lock, and nodes without
metrics."""

from kafka_rolling_restart.codes.entry import Chapter, Entry

QUORUM_STATUS = "kafka-metadata-quorum.sh --bootstrap-server HOST:9092 describe --status"
QUORUM_REPLICATION = "kafka-metadata-quorum.sh --bootstrap-server HOST:9092 describe --replication"
UNIT_TIMEOUT = "ssh HOST systemctl show -p TimeoutStopUSec UNIT"
KRAFT = Chapter(
    "KRaft: the quorum, the lock, and nodes without metrics",
    "The quorum is the group of controllers that keep the metadata of the cluster; each of them is "
    "a voter, and one leads. Where the commands need a login, add `--command-config FILE`.",
    (
        Entry(
            "bootstrap-server-invalid",
            "the address of a bootstrap server is not valid",
            "The line names the value and where it stands. Status 2: nothing was contacted.",
            "Write each server as `HOST:PORT`, with commas between them; an IPv6 address stands in "
            "brackets, such as `[::1]:9092`. The port has no default.",
        ),
        Entry(
            "option-needs-kraft",
            "the option is for a cluster without ZooKeeper",
            "The cluster was named by its ZooKeeper, which knows no roles and takes no properties "
            "of Kafka's own tools. Status 2: nothing was contacted.",
            "Leave the option out, or name the cluster with `--bootstrap-server`.",
        ),
        Entry(
            "option-needs-zookeeper",
            "the option is for a cluster on ZooKeeper",
            "The cluster has no `zookeeper`, and its brokers tell only the addresses of the "
            "listener that was asked. Status 2: nothing was contacted.",
            "Leave the option out, and name the addresses of the listener that you mean.",
        ),
        Entry(
            "cluster-on-zookeeper",
            "the cluster is on ZooKeeper, and was named by its brokers",
            "The brokers that answered know no metadata quorum. Who is registered, and who holds "
            "the lock, is in ZooKeeper. No broker was stopped.",
            "Name the cluster with `--zookeeper`, or set `zookeeper` in the configuration.",
            ("kafka-broker-api-versions.sh --bootstrap-server HOST:9092",),
        ),
        Entry(
            "no-controller-registered",
            "the cluster has no dedicated controller",
            "`--roles controllers` was given, and every voter of the quorum is a broker, too. Such "
            "nodes are restarted as brokers. No broker was stopped.",
            "Leave `--roles` out.",
            (QUORUM_STATUS,),
        ),
        Entry(
            "controller-host-unknown",
            "the cluster does not tell on which host a controller runs",
            "Kafka tells the hosts of dedicated controllers from 3.9 on. No broker was stopped.",
            "Give `--roles brokers`, and restart the controllers by hand, one at a time, the "
            "leader last.",
            (QUORUM_STATUS,),
        ),
        Entry(
            "kafka-protocol-unavailable",
            "Kafka's own protocol is not spoken beside ZooKeeper (warning)",
            "No listener of the brokers could be used, for the reason in the line. The run goes on "
            "without what only that protocol tells: the partitions by the brokers' metadata, and "
            "whether a restarted broker still loads its consumer groups.",
            "If the listeners need a login or TLS, give `--command-config`, the same file as for "
            "Kafka's own tools.",
            ("kafka-broker-api-versions.sh --bootstrap-server HOST:9092 --command-config FILE",),
        ),
        Entry(
            "migration-in-progress",
            "the cluster is on its way from ZooKeeper to KRaft (warning)",
            "Controllers of KRaft have begun to take over. A broker that starts in KRaft mode "
            "leaves `/brokers/ids` for ever, and a run over ZooKeeper waits for it in vain.",
            "Use this tool over ZooKeeper only for rolls after which the brokers are still in "
            "ZooKeeper mode. Restart them by hand in the roll that turns them into brokers of "
            "KRaft; from then on, name the cluster with `--bootstrap-server`.",
            ("zookeeper-shell.sh HOST:2181/CHROOT get /migration",),
        ),
        Entry(
            "brokers-fenced",
            "brokers are registered and fenced (note)",
            "The controller has not heard from these brokers, or they are still starting. They get "
            "no requests, and will be neither checked nor restarted.",
            "If one is down, start it first, then run the command again. If one is gone for ever, "
            "remove its registration with the second command.",
            (
                "kafka-cluster.sh list-endpoints --bootstrap-server HOST:9092 "
                "--include-fenced-brokers",
                "kafka-cluster.sh unregister --bootstrap-server HOST:9092 --id ID",
            ),
        ),
        Entry(
            "lock-not-allowed",
            "this login may not take the lock",
            "The lock is a consumer group with the name `kafka-rolling-restart`, and the ACLs of "
            "the cluster do not allow this user to join or to describe it. Nothing is written to "
            "any topic of yours.",
            "Allow it with the first command; the second one shows what is allowed now.",
            (
                "kafka-acls.sh --bootstrap-server HOST:9092 --add --allow-principal User:NAME "
                "--operation Read --operation Describe --group kafka-rolling-restart",
                "kafka-acls.sh --bootstrap-server HOST:9092 --list --group kafka-rolling-restart",
            ),
        ),
        Entry(
            "quorum-too-small",
            "the quorum cannot do without this voter",
            "With one or two voters, the cluster has no controller while one of them is down: no "
            "broker can join or leave, and no leader is elected. No order of work avoids that. No "
            "broker was stopped.",
            "Restart this node by hand at a time when that does no harm, or leave it out with "
            "`--broker-ids`. Three voters avoid it for ever.",
            (QUORUM_STATUS,),
        ),
        Entry(
            "not-stopped-yet",
            "something was against a stop at the last moment",
            "Right before a node is stopped, the cluster is asked once more. It was not as well as "
            "at the last check: a broker is missing, partitions are not in sync, or the quorum "
            "could lose its majority, or did not answer. The node was not stopped. As a warning: "
            "the run waits until the cluster is healthy, and asks again. At the end of a run: that "
            "happened too often.",
            "Check what the line names: brokers, partitions or controllers.",
            (QUORUM_STATUS, QUORUM_REPLICATION),
        ),
        Entry(
            "voter-behind",
            "a voter of the quorum does not follow its leader",
            "The controller is down, starting, or so slow that it has not caught up for more than "
            "3 s. While it is behind, no other voter may be stopped.",
            "Check that controller and its log. In the list, LastCaughtUpTimestamp of each voter "
            "should be close to that of the leader; -1 means never.",
            (QUORUM_REPLICATION,),
        ),
        Entry(
            "metadata-lag",
            "a broker does not follow the metadata of the cluster",
            "The broker is down, starting, or so slow that its metadata is more than 3 s old. One "
            "such broker holds up the graceful stop of every other.",
            "Check that broker, its log and its connection to the controllers. It is among the "
            "observers in the list.",
            (QUORUM_REPLICATION,),
        ),
        Entry(
            "cluster-state-unknown",
            "the cluster cannot say how it is",
            "The quorum has no majority, elected another leader during the check, or no broker "
            "that follows it answered in time; or this login sees no topic at all. What is not "
            "known is treated as not healthy, although clients may work.",
            "If this lasts, check the controllers first: a majority of them must run. If the line "
            "is about topics that cannot be seen, allow Describe on all topics.",
            (
                QUORUM_STATUS,
                "kafka-acls.sh --bootstrap-server HOST:9092 --add --allow-principal User:NAME "
                "--operation Describe --topic '*'",
            ),
        ),
        Entry(
            "partitions-unknown",
            "nothing tells whether all partitions are in sync",
            "Neither the metrics nor the cluster itself said anything of the partitions.",
            "Name the cluster with `--bootstrap-server`, or use a source of metrics that tells of "
            "partitions.",
            (
                "kafka-topics.sh --bootstrap-server HOST:9092 --describe "
                "--under-replicated-partitions",
            ),
        ),
        Entry(
            "coordinator-loading",
            "a broker that was restarted still loads its consumer groups",
            "Until its group coordinator has read `__consumer_offsets`, the consumers of its "
            "groups wait. Another restart now would make more of them wait.",
            "Wait. With very large groups or offsets this takes minutes.",
            ("kafka-topics.sh --bootstrap-server HOST:9092 --describe --topic __consumer_offsets",),
        ),
        Entry(
            "not-serving",
            "a node does not serve",
            "A broker does not answer on its advertised listener, or a controller does not follow "
            "the quorum. 'Connection refused' means that nobody listens there: the broker is down, "
            "is starting, or `advertised.listeners` names another address.",
            "Check the log of that node, then its `advertised.listeners`.",
            ("kafka-broker-api-versions.sh --bootstrap-server HOST:9092",),
        ),
        Entry(
            "process-not-identified",
            "the node's process cannot be found on its host",
            "Without metrics, only the host can show that the old process is gone and that a new "
            "one runs. It shows none, or several that match. No broker was stopped.",
            "If its command line does not contain `kafka.Kafka`, give `--process-pattern`. If it "
            "runs in a container, use `--metrics jmxproxy`.",
            ("ssh HOST pgrep -af kafka.Kafka", "ssh HOST systemctl show -p MainPID UNIT"),
        ),
        Entry(
            "stop-timeout-short",
            "systemd may kill the node before it has stopped (note)",
            "A graceful stop may take up to 5 min where the quorum is slow, and the unit allows "
            "less. After a kill the broker has to recover its logs, which takes long.",
            "Set `TimeoutStopSec=330` in the unit (`systemctl edit UNIT`).",
            (UNIT_TIMEOUT,),
        ),
    ),
)
