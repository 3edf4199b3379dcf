"""What every source of metrics offers: one sample of one broker."""

from typing import Protocol

from kafka_rolling_restart.model.broker import Sample


class MetricsSource(Protocol):
    """One broker's metrics. `read` never raises for what the network or the source does."""

    def read(self) -> Sample: ...
