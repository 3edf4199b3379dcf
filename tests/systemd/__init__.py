"""Kafka on whole Debian systems, each with a systemd of its own, and the tool that restarts it.

Process identity by systemd is proven here on systemd itself, not on a stand-in.
"""
