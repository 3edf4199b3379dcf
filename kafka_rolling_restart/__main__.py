"""The shell command."""

import os
import sys
import threading
from contextlib import suppress
from typing import NoReturn

from kafka_rolling_restart.errors import ExitStatus
from kafka_rolling_restart.text import describe_all

GOODBYE_S = 2.0
STDERR = 2


def run() -> None:
    """Run the command and exit with its status; a defect is status 1 with its traceback."""
    _hold_streams()
    threading.excepthook = _show
    try:
        # Loaded and parsed here, because a Ctrl-C may come meanwhile; from then on main() handles
        # all that may end it.
        from kafka_rolling_restart.cli import arguments
        from kafka_rolling_restart.main import main

        options = arguments.parse(sys.argv[1:])
    except KeyboardInterrupt:
        print(
            "kafka-rolling-restart: ended by SIGINT; no broker was touched [interrupted]",
            file=sys.stderr,
        )
        _leave(128 + 2)
    except SystemExit as end:  # argparse's
        _leave(end.code if isinstance(end.code, int) else ExitStatus.USAGE)
    except BaseException as error:
        _print(error)
        _leave(ExitStatus.DEFECT)
    try:
        status = main(sys.argv[1:], options)
    except KeyboardInterrupt:  # before main() listens to signals, or after its last word
        print("kafka-rolling-restart: ended by SIGINT [interrupted]", file=sys.stderr)
        status = 128 + 2
    except BaseException as error:
        _print(error)
        status = ExitStatus.DEFECT
    _leave(int(status))


def _show(failure: threading.ExceptHookArgs) -> None:
    """Show how a thread of a library ended, as everything else is shown: Python itself would show
    it as it is."""
    if failure.exc_value is not None:
        _print(failure.exc_value)


def _print(error: BaseException) -> None:
    print(describe_all(error), end="", file=sys.stderr)


def _hold_streams() -> None:
    """Open the streams that we were started without: a socket would take their place, and get what
    we print."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)  # the programs that a task runs would meet the same
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w", closefd=False)


def _leave(status: int) -> NoReturn:
    """End with this status, whatever a task printed that cannot be written: a full disk would make
    it 120."""
    flushing = threading.Thread(target=_flush, daemon=True)
    with suppress(RuntimeError):  # no more threads
        flushing.start()
        flushing.join(GOODBYE_S)
    os._exit(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue


if __name__ == "__main__":
    run()
