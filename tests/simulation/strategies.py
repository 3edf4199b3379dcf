"""Random schedules for the simulated cluster. What comes first among the choices is harmless: to
that they shrink."""

import signal
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from tests.simulation.schedule import KRAFT, Deed, Fault, Job, Kind, Nature, Schedule, Signal
from tests.simulation.world import OF_KRAFT


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


# A stop that did nothing while it ran, and returned well, is outside of what the tool promises
# after the limit.
LONG = (0.0, 5.0, 10.0, 20.0, 45.0, 80.0, 140.0, 200.0)
STOPS = st.builds(
    Deed,
    works=one_of(True, True, True, False),
    effect=one_of(*LONG[:6]),
    returns=one_of(3.0, 0.0, 20.0, None),
    status=one_of(0, 0, 5),
)
KILLING = st.builds(
    Deed,
    returns=one_of(3.0, None),
    kills=one_of(12.0, 17.0, *LONG[3:]),
    lag=one_of(0.0, 0.0, 5.0, 14.0),
    told=one_of(True, False),
)
STARTS = st.builds(
    Deed,
    works=st.booleans(),
    effect=one_of(*LONG[:6]),
    returns=one_of(0.1, 5.0, 20.0, 60.0, None),
    status=one_of(0, 0, 1),
    told=one_of(True, True, False),
)
GIVING_UP = st.builds(
    Deed,
    returns=st.none(),
    status=st.just(1),
    kills=one_of(20.0, 45.0, 90.0, 127.0, 200.0, 290.0),
    lag=one_of(0.0, 5.0, 14.0),
).map(lambda deed: replace(deed, returns=deed.kills))
TIMINGS: dict[str, Any] = {
    "unregisters": one_of(0.3, 0.0, 2.0, 20.0),
    "falls_silent": one_of(0.4, 0.0, 5.0),
    "ends": one_of(1.5, 0.0, 8.0, 25.0),
    "answers": one_of(1.0, 0.1, 8.0),
    "recovers": one_of(0.5, 15.0),
    "registers": one_of(2.0, 0.2, 20.0),
    "runs": one_of(0.2, 5.0),
    "catches_up": one_of(3.0, 0.0, 12.0, 40.0),
}
SOUND = st.just(Nature())
SLOW = st.builds(
    Nature, **TIMINGS, clock=one_of(0.0, -3600.0, 3600.0), read=one_of(0.0, 0.5, 3.0, 12.0)
)
WILD = st.builds(
    Nature,
    **TIMINGS | {"ends": one_of(1.5, 0.0, 8.0, 25.0, 70.0)},
    lives=st.lists(one_of(1.0, 3.0, 6.0, 12.0, 30.0), max_size=4).map(tuple),
    supervised=st.booleans(),
    needs_zookeeper=st.booleans(),
    stop=st.one_of(STOPS, KILLING),
    starts=st.lists(st.one_of(STARTS, STARTS, GIVING_UP), max_size=4).map(tuple),
    read=one_of(0.0, 0.5, 3.0, 12.0),
)
HIDDEN = st.builds(
    Nature,
    **TIMINGS | {"ends": one_of(1.5, 0.0, 8.0, 25.0, 50.0)},
    visible=st.just(False),
    cache=one_of(None, 3.0, 20.0),
)
CACHED = st.builds(Nature, **TIMINGS, cache=one_of(3.0, 20.0, 300.0))
NATURES = st.one_of(SOUND, SLOW, WILD, HIDDEN, CACHED)

TIMES = st.one_of(
    st.integers(0, 40).map(lambda quarter: quarter / 4), st.integers(0, 120).map(float)
)
STOP = st.integers(0, 3)
BROKERS = st.integers(0, 3) | st.none()
LASTS = one_of(2.0, 10.0, 30.0, 90.0, 30_000.0)
FAULTS = st.builds(
    Fault,
    kind=one_of(*(kind for kind in Kind if kind not in OF_KRAFT)),
    broker=BROKERS,
    stop=STOP,
    at=TIMES,
    lasts=LASTS,
).map(
    lambda fault: (
        replace(fault, lasts=min(fault.lasts, 900.0))
        if fault.kind in (Kind.PAUSED, Kind.HELD_UP)
        else fault
    )
)
LIES = one_of(Kind.PROXY_STALE, Kind.PROXY_GARBAGE, Kind.PROXY_DOWN, Kind.OUR_SESSION)
BLOWS = one_of(Kind.DIES, Kind.FREEZES, Kind.RESTARTED, Kind.SSH, Kind.SESSIONS)


def hidden_blow(fault: Fault, lie: Kind, blow: Kind, after: float) -> tuple[Fault, ...]:
    """Let something happen that cannot be seen: chance alone would bring the two together too
    seldom."""
    return (replace(fault, kind=lie), replace(fault, kind=blow, at=fault.at + after))


# What strikes while a broker is stopped: chance alone would seldom bring it there.
CRITICAL = st.builds(
    Fault,
    kind=one_of(Kind.SSH_CUT, Kind.THREADS, Kind.SSH),
    broker=st.none(),
    stop=st.integers(1, 3),
    at=one_of(0.5, 2.0, 4.0, 10.0, 16.0),
    lasts=one_of(2.0, 10.0, 30.0),
)
MISHAPS = st.one_of(
    FAULTS.map(lambda fault: (fault,)),
    CRITICAL.map(lambda fault: (fault,)),
    st.builds(hidden_blow, FAULTS, LIES, BLOWS, one_of(1.0, 0.0, 5.0, 10.0)),
)
SIGNALS = st.builds(
    Signal,
    stop=STOP,
    at=TIMES,
    number=one_of(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    kill=one_of(False, False, False, True),
)
JOBS = st.none() | st.builds(Job, seconds=one_of(0.0, 7.0, 40.0), raises=one_of(False, False, True))

SCHEDULES = st.builds(
    Schedule,
    natures=st.lists(NATURES, min_size=2, max_size=4).map(tuple),
    count=one_of(2, 1, 3),
    interval=one_of(5.0, 10.0),
    limit=one_of(60.0, 150.0, 600.0),
    election=one_of(0.5, 20.0),
    faults=st.lists(MISHAPS, max_size=4).map(lambda mishaps: sum(mishaps, ())),
    signals=st.lists(SIGNALS, max_size=2).map(tuple),
    pre_stop=JOBS,
    post_stop=JOBS,
    post_start=JOBS,
)

# Starts work, and nothing but the brokers' own slowness and a signal comes in between.
KIND_SCHEDULES = st.builds(
    Schedule,
    natures=st.lists(st.one_of(SOUND, SLOW, HIDDEN), min_size=2, max_size=3).map(tuple),
    limit=st.just(300.0),
    signals=st.lists(st.builds(Signal, stop=STOP, at=TIMES), min_size=1, max_size=1).map(tuple),
    post_stop=st.none() | st.builds(Job, seconds=one_of(0.0, 7.0)),
)


# KRaft: no proxies, and no ZooKeeper; whatever runs is seen on its host, unless that shows two.
OF_ZOOKEEPER = (
    Kind.PROXY_STALE,
    Kind.PROXY_GARBAGE,
    Kind.PROXY_DOWN,
    Kind.ZOOKEEPER,
    Kind.SESSIONS,
)
KRAFT_KINDS = (*OF_KRAFT, *(kind for kind in Kind if kind not in (*OF_ZOOKEEPER, *OF_KRAFT)))
FINDING = one_of(0.0, 0.3, 2.0, 8.0)
LOADING = one_of(0.0, 10.0, 60.0)
KRAFT_NATURES = st.builds(
    lambda nature, found, loads: replace(
        nature, visible=True, cache=None, needs_zookeeper=False, found=found, loads=loads
    ),
    NATURES,
    FINDING,
    LOADING,
)
KRAFT_FAULTS = st.builds(
    Fault,
    kind=st.sampled_from(KRAFT_KINDS),
    broker=st.integers(0, 5) | st.none(),
    stop=st.integers(0, 5),
    at=TIMES,
    lasts=LASTS,
).map(
    lambda fault: (
        replace(fault, lasts=min(fault.lasts, 900.0))
        if fault.kind in (Kind.PAUSED, Kind.HELD_UP)
        else fault
    )
)
KRAFT_BLOWS = one_of(Kind.DIES, Kind.FREEZES, Kind.RESTARTED, Kind.VOTER_DIES, Kind.QUORUM)
KRAFT_LIES = one_of(Kind.LIAR, Kind.TWO, Kind.OUR_SESSION, Kind.LAGS)
# A broker is fenced again 20 to 50 s after its start (KAFKA-19586).
FENCED_AGAIN = st.builds(
    Fault,
    kind=st.just(Kind.FENCED),
    broker=st.none(),
    stop=st.integers(1, 3),
    at=one_of(20.0, 27.0, 34.0, 45.0),
    lasts=one_of(2.0, 6.0),
)
KRAFT_MISHAPS = st.one_of(
    KRAFT_FAULTS.map(lambda fault: (fault,)),
    CRITICAL.map(lambda fault: (fault,)),
    FENCED_AGAIN.map(lambda fault: (fault,)),
    st.builds(hidden_blow, KRAFT_FAULTS, KRAFT_LIES, KRAFT_BLOWS, one_of(1.0, 0.0, 5.0, 10.0)),
)
KRAFT_SCHEDULES = st.builds(
    Schedule,
    registry=st.just(KRAFT),
    natures=st.lists(KRAFT_NATURES, min_size=2, max_size=4).map(tuple),
    controllers=st.lists(KRAFT_NATURES, max_size=3).map(tuple),
    roles=one_of("brokers", "controllers", "all"),
    combined=st.booleans(),
    controllers_first=st.booleans(),
    count=one_of(2, 1, 3),
    interval=one_of(5.0, 10.0),
    limit=one_of(60.0, 150.0, 600.0),
    election=one_of(1.0, 3.0),
    faults=st.lists(KRAFT_MISHAPS, max_size=4).map(lambda mishaps: sum(mishaps, ())),
    signals=st.lists(SIGNALS, max_size=2).map(tuple),
    pre_stop=JOBS,
    post_stop=JOBS,
    post_start=JOBS,
).map(
    lambda schedule: (
        replace(schedule, roles="brokers")
        if schedule.combined and schedule.roles == "controllers"
        else schedule
    )
)
