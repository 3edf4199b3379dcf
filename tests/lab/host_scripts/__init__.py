"""What runs on a host of the lab: stand-ins for service, systemctl, sudo, id, ps,
pgrep and sh, and the broker's start and stop.

Only the standard library and only this package: the scripts start without site-packages, so that
they are quick.
"""
