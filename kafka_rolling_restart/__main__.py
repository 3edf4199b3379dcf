"""The shell command."""

import sys
import traceback

from kafka_rolling_restart.errors import ExitStatus
from kafka_rolling_restart.main import main


def run() -> None:
    """Run the command and exit with its status; a defect is status 1 with its traceback."""
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
        status = ExitStatus.DEFECT
    sys.exit(int(status))


if __name__ == "__main__":
    run()
