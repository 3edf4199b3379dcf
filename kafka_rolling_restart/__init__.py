"""Restart every broker of a Kafka cluster, one at a time, over SSH."""

__version__ = "0.1.0"
