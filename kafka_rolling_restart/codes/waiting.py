"""Codes of why a cluster is not healthy, and of what happens between two restarts."""

from kafka_rolling_restart.codes.entry import Chapter, Entry

WAITING = Chapter(
    "Waiting until the cluster is healthy",
    "Most of these are reasons why a check was not healthy. The run waits, up to "
    "`--unhealthy-time-limit`.",
    (
        Entry(
            "cluster-not-healthy",
            "the cluster was not healthy for too long",
            "The time during which the cluster was not healthy, added up within one wait, "
            "reached `--unhealthy-time-limit`; or the one check of a dry run was not healthy. "
            "The reasons of the last check follow, each with a code of its own. Status 3: no "
            "broker was stopped. Status 4: all brokers are back.",
            "Fix the reasons first. After status 4, the last line has the command that restarts "
            "the rest.",
        ),
        Entry(
            "under-replicated",
            "a partition has replicas that are not in sync",
            "The named broker leads partitions that a follower has not caught up with.",
            "While the number shrinks, wait. If it does not, check the other brokers.",
            (
                "kafka-topics.sh --bootstrap-server HOST:9092 --describe "
                "--under-replicated-partitions",
            ),
        ),
        Entry(
            "offline-partitions",
            "a partition has no leader",
            "All in-sync replicas of the partition are down.",
            "Start the brokers that have these partitions.",
            ("kafka-topics.sh --bootstrap-server HOST:9092 --describe --unavailable-partitions",),
        ),
        Entry(
            "broker-not-registered",
            "a broker is not registered, or fenced",
            "The broker is down, or its session with the controller or with ZooKeeper ended. A "
            "controller that is named so does not follow the quorum.",
            "Check the log of that broker.",
        ),
        Entry(
            "broker-not-running",
            "a broker has not finished its start, or is stopping",
            "Its state is not 3 (running). State 2 is log recovery: after an unclean stop it takes "
            "minutes to hours.",
            "Wait, with a longer `--unhealthy-time-limit` if need be. Check the log of that "
            "broker.",
        ),
        Entry(
            "broker-restarted-by-others",
            "a broker was restarted, and not by this run",
            "Its JVM is a new one since the last check. It crashed and something started it "
            "again, or somebody restarted it.",
            "Check the log of that broker, and ask who restarted it.",
        ),
        Entry(
            "controller-count",
            "the cluster does not have exactly one controller",
            "An election goes on, or a broker wrongly believes that it is the controller.",
            "If this lasts, check `/controller` in ZooKeeper and `controller.log` of the brokers.",
            ("zookeeper-shell.sh HOST:2181/CHROOT get /controller",),
        ),
        Entry(
            "metrics-stale",
            "JMXProxy goes on answering with old metrics",
            "JMXProxy said that it emptied its cache, and still answers with old numbers.",
            "Restart JMXProxy on that host.",
        ),
        Entry(
            "metrics-not-new",
            "there are no new metrics yet",
            "JMXProxy keeps its answers, and they are the same as at the last check. This is not "
            "an error.",
            "Wait: the check counts once the cache has run out.",
        ),
        Entry(
            "restart-in-progress",
            "a broker is stopped by this run",
            "The cluster is not healthy because this run is restarting a broker.",
            "Wait.",
        ),
        Entry(
            "broker-not-verified",
            "it is not certain that the broker runs, so it was not stopped",
            "Right before the stop, the registration or the JVM of the broker could not be seen.",
            "Fix what the line names, then run the command on the last line.",
        ),
        Entry(
            "process-not-found",
            "the broker's process was there in the preflight and is not found now",
            "The pid is gone, or `ps` on the host is restricted now. The broker was not stopped.",
            "Check on the host why.",
            ("ssh HOST ps -p PID",),
        ),
        Entry(
            "lock-uncertain",
            "it is not certain that this run holds the lock, so the broker was not stopped",
            "ZooKeeper, or in KRaft the coordinator of the group `kafka-rolling-restart`, did not "
            "answer right before the stop.",
            "Check ZooKeeper, or in KRaft whether the topic `__consumer_offsets` is online, then "
            "run the command on the last line.",
            (
                "kafka-consumer-groups.sh --bootstrap-server HOST:9092 --describe --state --group "
                "kafka-rolling-restart",
            ),
        ),
        Entry(
            "lock-lost",
            "the lock was lost, and somebody else may be restarting brokers",
            "The session with ZooKeeper, or in KRaft with the group's coordinator, ended, and "
            "meanwhile somebody took the lock or restarted a broker; or somebody deleted the "
            "lock.",
            "Find out who before you run the command on the last line.",
        ),
        Entry(
            "lock-taken-again",
            "the lock was lost for a while (warning)",
            "ZooKeeper, or in KRaft the group's coordinator, did not answer for so long that the "
            "session ended. The lock is held again, and every broker runs as before.",
            "Nothing must be done. If it happens often, check ZooKeeper or the brokers, and the "
            "network.",
        ),
        Entry(
            "report-not-written",
            "the file of `--report` cannot be written any more",
            "Its content is old: do not trust it. The run goes on.",
            "Make room, or make the folder again; the file is written again at the next step.",
            ("df -h FOLDER",),
        ),
        Entry(
            "report-late",
            "the file of `--report` was not written in time (warning)",
            "Writing took longer than 2 s; a disk or a mount does not answer. The run goes on "
            "without waiting for it.",
            "Check the disk or the mount. Until then the file may be out of date.",
        ),
    ),
)
