"""A simulated cluster behind the seams of the loop over the plan: brokers, hosts, proxies,
ZooKeeper or a metadata quorum, and their faults.

There is one clock, and whatever happens happens in its sleep(). A `Schedule` says how everything
behaves and what goes wrong when; `World(schedule).run()` lets the tool restart all the brokers, and
then the world goes on for a while without further faults. What is true is kept apart from what the
tool can see, so that a test can hold one against the other.

- ``schedule``: how brokers, hosts and commands behave, and what goes wrong when
- ``strategies``: random schedules
- ``clock``, ``servers``, ``hosts``, ``metrics``, ``registry``: what the cluster is made of
- ``nodes``, ``quorum``, ``kraft``: the same of a cluster without ZooKeeper
- ``world``: all of it together, its faults, and the tool at work on it
- ``records``: what was true when a command was sent, and when the run ended
"""
