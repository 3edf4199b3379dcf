"""Codes of what happens while a broker is stopped."""

from kafka_rolling_restart.codes.entry import Chapter, Entry

RESTARTING = Chapter(
    "While a broker is stopped and started",
    "Warnings, and endings with exit status 4 or 5.",
    (
        Entry(
            "stop-not-sent",
            "the stop command did not reach the host",
            "The stop goes over a connection that is already open, or not at all, so that it "
            "never follows long after the last health check. It is also not sent if this process "
            "was held up (Ctrl-Z, a paused machine, a slow disk) after the check. The broker was "
            "not stopped.",
            "Fix SSH to that host, then run the command on the last line.",
            ("ssh HOST true",),
        ),
        Entry(
            "command-end-not-seen",
            "the end of a command on a host was not seen",
            "The connection broke while the command ran, or the command did not end within the "
            "time limit. It may still run there.",
            "Check on the host whether it still runs.",
            ("ssh HOST pgrep -af kafka-rolling-restart",),
        ),
        Entry(
            "stop-end-not-seen",
            "it is not known how the stop command ended (warning)",
            "The connection broke while the stop command ran. The broker is watched and may still "
            "stop.",
            "Wait. The run goes on.",
        ),
        Entry(
            "stop-failed",
            "the stop command failed (warning)",
            "It ended with another status than 0. The broker is watched all the same, because "
            "the command may still take effect: if the broker goes, it is started and the run goes "
            "on; if it still runs as before at the time limit, the run ends with status 4, or with "
            "status 5 where no metrics tell whether it is stopping and the limit is below 330 s.",
            "The line has what the stop command said. If that is 'not found' or 'not allowed', "
            "nothing was stopped: end the run, and correct `--stop-command`. Else wait until the "
            "run ends; do not stop the broker by hand meanwhile.",
        ),
        Entry(
            "stop-had-no-effect",
            "the broker still runs as before",
            "The stop command ended, and at the time limit the same process still runs, is "
            "registered and answers.",
            "Check in the broker's log whether it is shutting down. Run the stop command by hand "
            "and read what it says. If the broker stops, run the start command by hand at once. "
            "When the broker is registered again, run the command on the last line.",
            ("ssh HOST sudo service kafka stop", "ssh HOST sudo service kafka start"),
        ),
        Entry(
            "stop-still-at-work",
            "the stop command may still take the broker down",
            "The broker runs, but the stop command has not ended or its end was not seen. It may "
            "still take the broker DOWN. A stop command must end. Or the command has ended, and no "
            "metrics tell whether the broker is stopping: Kafka tries for up to 5 minutes to stop "
            "in good order, and serves meanwhile.",
            "Look on the host for the process of the stop command and for what it waits for, and "
            "in the log of the broker whether it is shutting down. Once that has ended, check that "
            "the broker runs; if it does not, run the command on the last line.",
            ("ssh HOST pgrep -af kafka-rolling-restart-stop",),
        ),
        Entry(
            "stop-hangs",
            "the stop command does not return (warning)",
            "The broker is gone, and the stop command still runs. The broker is started; the run "
            "goes on once the stop command has ended.",
            "Look on the host for what the stop command waits for.",
            ("ssh HOST pgrep -af kafka-rolling-restart-stop",),
        ),
        Entry(
            "not-proven-gone",
            "the broker was not proven to be gone within the time limit",
            "Something of the broker was still there, or could not be looked at (SSH, "
            "ZooKeeper). It was started all the same, because a broker that stops late would "
            "stay down. The run ends once it is back.",
            "Controlled shutdown may need a longer `--unhealthy-time-limit`. Find out why before "
            "you run the command on the last line.",
        ),
        Entry(
            "started-by-others",
            "something else started the broker",
            "A supervisor or a person started the broker while this run had it stopped. The "
            "post-stop tasks may have met a running broker.",
            "Switch the supervisor off during the run, or use its own stop and start commands.",
        ),
        Entry(
            "post-stop-tasks-slow",
            "the post-stop tasks take long (warning)",
            "There is no time limit for tasks, and the broker is down until they end.",
            "End the program of the task if it hangs: the broker is then started and the run ends.",
        ),
        Entry(
            "task-failed",
            "a task failed",
            "The exception of the task is in the line. 'Was not stopped': the broker is as "
            "before. Otherwise it is back.",
            "Fix the task, or do by hand what it did not do. Then run the command on the last "
            "line.",
        ),
        Entry(
            "tasks-not-run",
            "tasks were not run, because somebody else restarted the brokers",
            "Brokers of the plan were restarted by somebody else, so their tasks did not run.",
            "Run the tasks by hand, or run the command on the last line, which restarts these "
            "brokers.",
        ),
        Entry(
            "start-not-sent",
            "the start command did not reach the host (warning)",
            "SSH to the host failed. The start is sent again every 10 s.",
            "Fix SSH, or start the broker on the host's console; the run sees it come back.",
        ),
        Entry(
            "start-failed",
            "the start command failed (warning)",
            "It ended with another status than 0. It is sent again, after longer and longer "
            "pauses.",
            "The line has what the start command said. If that is 'not found', the command is "
            "wrong: start the broker on its host with the right one now; the run notices it. Else "
            "check the broker's log meanwhile.",
        ),
        Entry(
            "start-end-not-seen",
            "it is not known how the start command ended (warning)",
            "The connection broke while the start command ran. The broker may still come back.",
            "Wait. The run sees it come back, or starts it again.",
        ),
        Entry(
            "start-repeated",
            "the broker is started again (warning)",
            "The start command ended and the broker did not come back.",
            "Check the broker's log meanwhile.",
        ),
        Entry(
            "start-hangs",
            "the broker is back, but the start command does not return (warning)",
            "The start command runs in the foreground, or waits for something. The run waited for "
            "120 s or `--unhealthy-time-limit`, whichever is longer, and then went on. This "
            "happens with every broker.",
            "Use a start command that returns.",
        ),
        Entry(
            "signal-received",
            "a signal was received while a broker is stopped (warning)",
            "The run ends once that broker is back. A second signal (not SIGHUP), 1 s later or "
            "more, ends the run at once and leaves the broker DOWN.",
            "Wait.",
        ),
    ),
)
ENDING = Chapter(
    "How a run ends",
    "If there is a command to run next, as after status 4 or 5, it stands alone on the last line. "
    "If several brokers may be down, there is a line for each.",
    (
        Entry(
            "done",
            "all brokers of the plan were restarted",
            "Every broker of the plan was restarted and the cluster is healthy.",
            "Nothing must be done.",
        ),
        Entry(
            "nothing-to-restart",
            "no broker was left to restart",
            "The plan had no broker, and the cluster is healthy.",
            "Check `--skip`, `--broker-ids` and `--started-before` if you expected another plan.",
        ),
        Entry(
            "dry-run-passed",
            "the dry run found no problem",
            "The preflight found no problem and one health check was healthy. No broker was "
            "touched.",
            "Run the same command without `--dry-run`.",
        ),
        Entry(
            "interrupted",
            "the run was ended by a signal",
            "No broker that this run stopped is down.",
            "If the last line has a command, it restarts the rest.",
        ),
        Entry(
            "broker-down",
            "a broker is or may be DOWN",
            "The broker was stopped and did not come back within the time limit. 'May be DOWN': "
            "its registration, metrics and process could not all be looked at.",
            "Act now. Check the log of the broker, then run the last line. Once all brokers are "
            "up, the line that begins with 'to go on with the rest' has the command that "
            "continues.",
        ),
        Entry(
            "broker-still-starting",
            "the broker is starting, and takes longer than the limit",
            "Its new JVM runs and does not serve yet. Mostly this is log recovery after an unclean "
            "stop.",
            "Check the log of the broker and wait. If its JVM has ended, run the last line.",
        ),
        Entry(
            "crash-loop",
            "the broker ends again and again, and systemd starts it again by itself",
            "Its unit has Restart=, so the start command ended with status 0, but Kafka ends soon "
            "after each start. Mostly its configuration, its disk or its memory is wrong.",
            "Read why it ends in the log of the unit, and fix it. If systemd does not start it "
            "then by itself, run the last line.",
            (
                "ssh HOST systemctl show -p NRestarts,Result,SubState kafka",
                "ssh HOST sudo journalctl -u kafka -n 100",
            ),
        ),
        Entry(
            "systemd-gave-up",
            "systemd gave up the broker, and may refuse to start it",
            "Its unit has Restart=, and Kafka ended so often in a short time that systemd starts "
            "it no more (StartLimitBurst). A start command fails until StartLimitIntervalSec is "
            "over, or until somebody resets the unit.",
            "Read why it ends in the log of the unit, and fix it. Reset the unit, then run the "
            "last line.",
            (
                "ssh HOST sudo journalctl -u kafka -n 100",
                "ssh HOST sudo systemctl reset-failed kafka",
            ),
        ),
        Entry(
            "restarted-by-systemd",
            "the broker ended by itself, and systemd started it again (warning)",
            "Its unit has Restart=. The broker is waited for all the same: the run goes on when it "
            "is back.",
            "Read in the log of the unit why it ended.",
            ("ssh HOST sudo journalctl -u kafka -n 100",),
        ),
        Entry(
            "killed-while-stopping",
            "the broker was killed while it was stopping (warning)",
            "By systemd, because the stop took longer than the unit's TimeoutStopSec, or by a "
            "signal or the kernel. The broker did not stop cleanly, so it recovers its logs when "
            "it starts, which takes longer. The run goes on.",
            "Give the unit a longer TimeoutStopSec: a graceful stop in KRaft may take 300 s.",
            ("ssh HOST systemctl show -p TimeoutStopUSec kafka",),
        ),
        Entry(
            "broker-left-stopped",
            "the run was ended while a broker was stopped",
            "A second signal ended the run at once. The broker is DOWN unless something else "
            "starts it, or the run had sent a start shortly before.",
            "Check whether it runs; if not, run the last line of the run. With `--report` it is in "
            "the file, too.",
            ("ssh HOST pgrep -af kafka.Kafka", "ssh HOST sudo service kafka start"),
        ),
        Entry(
            "broker-failed-again",
            "a broker was restarted and is down again",
            "It had come back, and at the end it was not there any more.",
            "Check the log of that broker, then run the last line.",
        ),
        Entry(
            "broker-state-unknown",
            "it is not known whether a restarted broker is up",
            "ZooKeeper and the metrics could not be read at the end.",
            "Check on the hosts that the line names. To start a broker that is down, run its "
            "command at the end.",
        ),
        Entry(
            "defect",
            "a defect of this program ended the run",
            "Status 1. A broker that was stopped at that moment was told to start.",
            "Check that every broker runs. If the last line is a command, it starts the broker "
            "that was stopped. Please report the traceback.",
        ),
    ),
)
