"""Print docs/troubleshooting.rst."""

import sys

from kafka_rolling_restart.codes.catalogue import page

if __name__ == "__main__":
    sys.stdout.write(page())
