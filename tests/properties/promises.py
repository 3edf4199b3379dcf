"""What the tool promises, held against what is true in a simulated cluster once a schedule was
run."""

import re
import signal
from collections.abc import Callable

from kafka_rolling_restart.model.cluster_state import CAUGHT_UP_S
from kafka_rolling_restart.model.progress import State
from kafka_rolling_restart.signals import SAME_SIGNAL_S
from tests.last_lines import ending_of
from tests.simulation.clock import QUESTION_S
from tests.simulation.nodes import Node
from tests.simulation.records import Sent
from tests.simulation.schedule import KRAFT, Fault, Kind, Schedule
from tests.simulation.servers import Life, Server
from tests.simulation.world import LONGEST_LIE_S, VOTERS, World

TOLERANCE_S = 3.0  # by which a lying proxy may deceive: rounding, drift
# a voter that died is seen to be caught up for 3 s, and the quorum is asked right before a stop
QUORUM_NEWS_S = 5.0
SEEN_GONE_S = 45.0  # until a process that has ended is seen to be gone, each question unanswered
OVER_S = 260.0  # from one start to the next at the most (240 s), and the looks in between


class Story:
    """A schedule that was run: the world as it was, and how the run ended."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.world = World(schedule)
        self.end = self.world.run()

    @property
    def second_signal(self) -> float | None:
        """When a second signal came; what follows within a second is the same key, and SIGHUP a
        terminal that closes."""
        (first, _), *later = self.world.signalled or [(0.0, 0)]
        return next(
            (at for at, number in later if at - first >= SAME_SIGNAL_S and number != signal.SIGHUP),
            None,
        )

    @property
    def fatal(self) -> bool:
        """Tell whether the tool was killed or ended by a second signal: then it promises nothing
        but to say so."""
        return self.end.status is None or self.second_signal is not None

    @property
    def deceit(self) -> float:
        """How old (s) may be what the tool has to take for news."""
        caches = [nature.cache for nature in self.schedule.natures if nature.cache is not None]
        lies = any(fault.kind is Kind.PROXY_STALE for fault in self.schedule.faults)
        old = max(caches, default=0.0) + TOLERANCE_S if caches or lies else 0.0
        if any(fault.kind is Kind.LIAR for fault in self.schedule.faults):
            old = max(old, LONGEST_LIE_S)
        return old

    @property
    def delay(self) -> float:
        """How long (s) the leader of a quorum takes at the most to notice who no longer follows."""
        return CAUGHT_UP_S if self.world.is_kraft else 0.0

    def is_ours(self, life: Life) -> bool:
        """Tell whether a JVM was launched after we had told its broker to stop."""
        return any(sent.at <= life.born and life in sent.server.lives for sent in self.world.stops)

    def lives_since(self, sent: Sent) -> list[Life]:
        return [life for life in sent.server.lives if life.born >= sent.at]

    def came_back(self, sent: Sent) -> bool:
        """Tell whether a broker that was told to stop registered in a new JVM, or never went."""
        life = sent.life
        stayed = life is not None and not life.told_to_stop
        since = self.lives_since(sent)
        return stayed or any(
            life.registered_at is not None and not life.killed_by_us for life in since
        )

    def tries(self, sent: Sent) -> list[Sent]:
        """The starts that reached the host of a stopped broker once its old process had ended."""
        return [
            start
            for start in self.world.starts
            if start.server is sent.server
            and start.at >= sent.at
            and not _is(start.life, sent.life)
        ]


def _is(one: Life | None, other: Life | None) -> bool:
    return one is not None and one is other


def whole_in_its_checks(story: Story, checks: tuple[tuple[float, float], ...]) -> bool:
    last = checks[-story.schedule.count :]
    return len(last) == story.schedule.count and all(
        story.world.was_whole(begin - story.deceit - story.delay, end) for begin, end in last
    )


# The promises


def stops_only_what_was_whole(story: Story) -> None:
    for sent in story.world.stops:
        assert whole_in_its_checks(story, sent.checks), (
            f"broker {sent.server.id} was stopped at {sent.at}"
        )


def checks_after_each_restart(story: Story) -> None:
    for before, sent in zip(story.world.stops, story.world.stops[1:], strict=False):
        assert sum(begin >= before.at for begin, _ in sent.checks) >= story.schedule.count


def counts_no_answer_twice(story: Story) -> None:
    for sent in story.world.stops:
        assert sent.news >= story.schedule.count


def stops_only_on_recent_news(story: Story) -> None:
    # of the lock, of the broker in hand, and of its host; in KRaft, each look asks the cluster more
    questions = (6 if story.world.is_kraft else 3) * QUESTION_S
    for sent in story.world.stops:
        assert sent.at - sent.checks[-1][1] <= questions
        assert sent.at - sent.held_at <= questions


def stops_nothing_where_its_lock_was_lost_and_somebody_restarted_a_broker(story: Story) -> None:
    for sent in story.world.stops:
        begin, end = sent.gap or (0.0, 0.0)
        # in KRaft without metrics, nothing tells of the processes of nodes that are not in the plan
        seen = story.world.planned if story.world.is_kraft else story.world.servers
        lives = [life for server in seen for life in server.lives if begin < life.born < end]
        assert story.deceit or all(story.is_ours(life) for life in lives)


def stops_nothing_after_a_signal(story: Story) -> None:
    assert not any(sent.signalled for sent in story.world.stops)


def obeys_a_second_signal_at_once(story: Story) -> None:
    if story.end.status is not None and story.second_signal is not None:
        assert story.end.at - story.second_signal <= QUESTION_S + pauses(story.schedule)


def leaves_no_broker_down(story: Story) -> None:
    for sent in story.world.stops:
        if sent.server.id in story.end.settled or story.came_back(sent) or story.fatal:
            continue
        if acts_after_the_end(story, sent):
            assert story.end.status == 5 or has_returned(story, sent), (
                f"broker {sent.server.id} goes down later"
            )
            continue
        over = story.end.at - sent.at >= story.schedule.limit
        recently = story.end.at - story.world.excused[sent.server.id - 1] <= OVER_S + pauses(
            story.schedule
        )
        assert over and (story.tries(sent) or recently), f"broker {sent.server.id} was left down"


def acts_after_the_end(story: Story, sent: Sent) -> bool:
    """Tell whether a stop command did, or went on with, its work when the run was over."""
    deed = sent.server.nature.stop
    return sent.at + max(deed.effect if deed.works else 0.0, deed.acts) >= story.end.at


def has_returned(story: Story, sent: Sent) -> bool:
    return sent.server.nature.stop.runs < story.schedule.limit


def what_may_act(story: Story) -> list[Sent]:
    """The commands that the tool has to reckon with: a start that runs for longer than it waits for
    one is none."""
    longest_start = max(120.0, story.schedule.limit)
    return [
        *story.world.stops,
        *(one for one in story.world.starts if one.acts_until - one.at <= longest_start),
    ]


def stops_nothing_while_an_earlier_command_may_act(story: Story) -> None:
    for sent in story.world.stops:
        for before in what_may_act(story):
            if before.at < sent.at:
                assert before.acts_until <= sent.at


def says_nothing_good_while_a_command_may_act(story: Story) -> None:
    for sent in what_may_act(story):
        if sent.acts_until > story.end.at and not story.fatal:
            assert story.end.status == 5


def sends_no_start_beside_one_that_runs(story: Story) -> None:
    for number, start in enumerate(story.world.starts):
        for before in story.world.starts[:number]:
            is_same = before.server is start.server
            assert not (is_same and before.told) or before.runs_until <= start.at


def runs_each_task_or_names_its_broker_as_left(story: Story) -> None:
    world = story.world
    if story.end.status not in (0, 4) and (story.end.status or 0) < 128:
        return
    resume = [one for one in ending_of(world.lines.lines).commands if one.startswith("resume ")]
    left = {broker_id for line in resume for broker_id in line.removeprefix("resume ").split(",")}
    tasks = [*world.tasks.pre_stop, *world.tasks.post_stop, *world.tasks.post_start]
    for server in world.planned:
        done = all((task, server.id) in world.tasks_done for task in tasks)
        restarted = (
            any(sent.server is server for sent in world.stops) or server.life is not server.lives[0]
        )
        assert str(server.id) in left or (done and restarted), f"broker {server.id} is not named"


def says_done_only_when_all_were_restarted_and_are_whole(story: Story) -> None:
    if story.end.status == 0:
        assert all(server.life is not server.lives[0] for server in story.world.planned)
        assert whole_in_its_checks(story, tuple(story.world.checks))
        since = max((sent.at for sent in story.world.stops), default=0.0)
        assert sum(begin >= since for begin, _ in story.world.checks) >= story.schedule.count


def says_refused_only_when_nothing_was_stopped(story: Story) -> None:
    if story.end.status == 3:
        assert story.world.stops == []


def says_back_only_what_is_up(story: Story) -> None:
    if story.end.status == 4 or (story.end.status or 0) > 128:
        down = [sent.server for sent in story.world.stops if sent.server.id not in story.end.up]
        assert [server.id for server in down if not is_mistaken_for_up(story, server)] == []


def is_mistaken_for_up(story: Story, server: Server) -> bool:
    """Tell whether a broker is one of those that the last look is known to miss (see below).

    The first are also those whose JVM died and was launched again by a supervisor a moment ago.
    """
    since_blow = story.end.at - server.last_blow
    if isinstance(server, Node):  # its port tells of a broker at once, the quorum of a controller
        return not server.is_broker and since_blow <= CAUGHT_UP_S
    still_registered = server.id in story.end.registered and since_blow <= story.world.session_s
    hidden_by_its_proxy = story.end.registry_away and story.deceit > 0
    return still_registered or hidden_by_its_proxy


def names_the_broker_that_may_be_down(story: Story) -> None:
    if story.end.status == 5:
        ending = ending_of(story.world.lines.lines)
        named = [
            one
            for one in story.world.servers
            if re.search(rf"(broker|controller) {one.id} \(n{one.id}\)", ending.sentence)
        ]
        assert ending.code and ending.commands
        assert all(any(line == f"ssh n{one.id} start" for one in named) for line in ending.commands)


def has_no_defect(story: Story) -> None:
    assert story.end.status != 1, story.end.defect


def ends_in_bounded_time(story: Story) -> None:
    assert story.end.at - story.world.began <= longest(story.schedule)


def longest(schedule: Schedule) -> float:
    """Return how long (s) a run may take: for each broker one or two waits, its tasks, and its
    restart."""
    question = QUESTION_S  # a ZooKeeper, a JVM or a host that does not answer
    jobs = (schedule.pre_stop, schedule.post_stop, schedule.post_start)
    tasks = sum(job.seconds for job in jobs if job)
    cache = max((nature.cache or 0.0 for nature in schedule.natures), default=0.0)
    check = schedule.interval + 2 * question + cache
    if schedule.registry == KRAFT:
        check += 5 * question
    wait = (schedule.limit / schedule.interval + 2) * schedule.count * check
    restart = 2 * schedule.limit + 60 + 10 * question
    nodes = len(schedule.natures) + (VOTERS if schedule.registry == KRAFT else 0)
    return nodes * (3 * wait + tasks + restart) + wait + question + pauses(schedule)


def pauses(schedule: Schedule) -> float:
    """Return for how long (s) the tool stands still by somebody else's hand."""
    return sum(
        fault.lasts for fault in schedule.faults if fault.kind in (Kind.PAUSED, Kind.HELD_UP)
    )


def starts_nothing_while_its_old_process_is_seen(story: Story) -> None:
    for start in story.world.starts:
        stop = [sent for sent in story.world.stops if sent.server is start.server][-1]
        if start.server.nature.visible and _is(start.life, stop.life):
            assert start.at - stop.at >= story.schedule.limit


def stops_no_broker_twice(story: Story) -> None:
    stopped = [sent.server.id for sent in story.world.stops]
    assert len(stopped) == len(set(stopped))


def stops_no_broker_that_somebody_else_restarted(story: Story) -> None:
    for sent in story.world.stops:
        known = sent.checks[-1][0] - story.deceit if story.deceit else sent.read_at
        if sent.life is not None and sent.life is not sent.server.lives[0]:
            assert sent.life.born > known


def has_written_which_broker_it_stops_before_it_does(story: Story) -> None:
    """So that the report file is right when we are killed next."""
    for sent in story.world.stops:
        assert sent.on_disk is not None
        assert [record.broker.id for record in sent.on_disk.having(State.IN_HAND)] == [
            sent.server.id
        ]
        assert str(sent.server.id) in sent.on_disk.resume.removeprefix("resume ").split(",")


def shows_at_the_end_what_became_of_each_broker(story: Story) -> None:
    shown = story.world.file.on_disk
    if story.end.status is None or shown is None:
        return
    for sent in story.world.stops:
        (record,) = [record for record in shown.records if record.broker.id == sent.server.id]
        if record.state is State.RESTARTED:
            assert story.is_ours(sent.server.lives[-1]) or len(sent.server.lives) > 1
            assert record.down_s is not None and record.new is not None and record.old is not None
        elif record.state is State.UNTOUCHED:
            assert record.trouble and story.end.status != 0


# Those of KRaft


def stops_no_voter_while_another_is_down_by_its_hand(story: Story) -> None:
    for number, sent in enumerate(story.world.stops):
        for before in story.world.stops[:number]:
            if sent.is_voter and before.is_voter:
                since = [life for life in story.lives_since(before) if life.born <= sent.at]
                stayed = before.life is not None and not before.life.told_to_stop
                assert stayed or any(_served_by(life, sent.at) for life in since)


def _served_by(life: Life, moment: float) -> bool:
    return life.registered_at is not None and life.registered_at <= moment


def stops_no_voter_without_a_majority_of_the_others(story: Story) -> None:
    for sent in story.world.stops:
        if not sent.is_voter:
            continue
        since = sent.at - QUORUM_NEWS_S - pauses(story.schedule)
        needed = story.world.controllers.majority
        seen = story.world.controllers.were_caught_up(since, sent.at)
        assert any(len(ids - {sent.server.id}) >= needed for ids in seen)


def starts_what_it_stopped_though_the_quorum_is_lost(story: Story) -> None:
    if not story.world.is_kraft or story.fatal or any(is_of_host(one) for one in faults(story)):
        return
    for sent in story.world.stops:
        ended_at = sent.life.ended_at if sent.life is not None else sent.at
        if ended_at is None or story.lives_since(sent):
            continue
        if ended_at - sent.at + SEEN_GONE_S <= story.schedule.limit:
            assert story.tries(sent), f"broker {sent.server.id} was not started"


def faults(story: Story) -> tuple[Fault, ...]:
    return story.schedule.faults


def is_of_host(fault: Fault) -> bool:
    """Tell whether a fault hides a process from the tool, or keeps its commands from the host."""
    return fault.kind in (Kind.SSH, Kind.SSH_SLOW, Kind.SSH_CUT, Kind.THREADS, Kind.TWO)


PROMISES: list[Callable[[Story], None]] = [
    stops_only_what_was_whole,
    checks_after_each_restart,
    counts_no_answer_twice,
    stops_only_on_recent_news,
    stops_nothing_where_its_lock_was_lost_and_somebody_restarted_a_broker,
    stops_nothing_after_a_signal,
    obeys_a_second_signal_at_once,
    leaves_no_broker_down,
    stops_nothing_while_an_earlier_command_may_act,
    says_nothing_good_while_a_command_may_act,
    sends_no_start_beside_one_that_runs,
    runs_each_task_or_names_its_broker_as_left,
    says_done_only_when_all_were_restarted_and_are_whole,
    says_refused_only_when_nothing_was_stopped,
    says_back_only_what_is_up,
    names_the_broker_that_may_be_down,
    has_no_defect,
    ends_in_bounded_time,
    starts_nothing_while_its_old_process_is_seen,
    stops_no_broker_twice,
    stops_no_broker_that_somebody_else_restarted,
    has_written_which_broker_it_stops_before_it_does,
    shows_at_the_end_what_became_of_each_broker,
    stops_no_voter_while_another_is_down_by_its_hand,
    stops_no_voter_without_a_majority_of_the_others,
    starts_what_it_stopped_though_the_quorum_is_lost,
]


def is_kept(promise: Callable[[Story], None], story: Story) -> bool:
    try:
        promise(story)
    except AssertionError:
        return False
    return True
