"""Restart every broker of a Kafka cluster, one at a time, over SSH."""
