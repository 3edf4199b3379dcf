"""The shell command."""

import sys
import traceback

from kafka_rolling_restart.errors import ExitStatus


def run() -> None:
    """Run the command and exit with its status; a defect is status 1 with its traceback."""
    try:
        from kafka_rolling_restart.main import main  # here, because a Ctrl-C may come while it is loaded

        status = main(sys.argv[1:])
    except KeyboardInterrupt:
        print("kafka-rolling-restart: ended by SIGINT; no broker was touched", file=sys.stderr)
        status = 128 + 2
    except Exception:
        traceback.print_exc()
        status = ExitStatus.DEFECT
    sys.exit(int(status))


if __name__ == "__main__":
    run()
