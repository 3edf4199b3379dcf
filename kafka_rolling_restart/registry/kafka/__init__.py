"""Kafka's own protocol: single nodes are asked, and answer in values of ours.

Only `client` imports kafka-python.
"""
