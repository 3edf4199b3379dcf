"""What every source of metrics offers: one sample of one broker."""

from typing import Protocol

from kafka_rolling_restart.model.broker import Sample


class MetricsSource(Protocol):
    """One broker's metrics. `read` never raises for what the network or the source does.

    ``tells_process``: its samples tell of the JVM. Else the process is looked for on the host.
    """

    @property
    def tells_process(self) -> bool: ...

    def read(self) -> Sample: ...
