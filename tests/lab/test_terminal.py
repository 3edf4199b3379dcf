"""The live view on the real cluster, as an emulated terminal shows it: line by line, and frame by
frame."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab
from tests.lab.broker import ACTIVE_CONTROLLERS, UNDER_REPLICATED
from tests.lab.command import PROGRAM
from tests.lab.host_scripts.process import wait_until
from tests.lab.terminal import Terminal
from tests.last_lines import ending_of

QUICK = ("--cluster-type", "lab", "--check-interval", "0.5", "--check-count", "2")
NO_BROKER = (
    "--cluster-type",
    "lab",
    "--check-interval",
    "0.3",
    "--check-count",
    "2",
    "--skip",
    "3",
)
STOP = "service kafka stop"
CTRL_C, CTRL_D, CTRL_Q, CTRL_S, CTRL_Z = "\x03", "\x04", "\x11", "\x13", "\x1a"
COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9\d|10\d)(?:;\d+)*m")
AREA = re.compile(r"waiting until the cluster is healthy: *|broker \d \(.*\), \d of \d: .*")

TASK = """
    import subprocess
    from kafka_rolling_restart.task import PostStopTask

    class Upgrade(PostStopTask):
        def run(self, host):
            print("unpacking")
            child = "echo a child writes; sleep 0.7; printf 'to stderr\\\\n' >&2"
            subprocess.run(["sh", "-c", child], check=True)
            print("half a line", end="")
"""

AtTerminal = Callable[..., Terminal]


@pytest.fixture
def at_terminal(lab: Lab) -> Iterator[AtTerminal]:
    """Run the tool in terminals, which are closed at the end of the test."""
    opened: list[Terminal] = []

    def run(*arguments: str, env: dict[str, str] | None = None, **options: Any) -> Terminal:
        opened.append(Terminal(arguments, {**lab.env, **(env or {})}, **options))
        return opened[-1]

    yield run
    for terminal in opened:
        terminal.kill()


def confirmed(terminal: Terminal, answer: str = "y") -> Terminal:
    """Answer the question of a run."""
    terminal.wait_for("[y/N]", 60)
    terminal.type(f"{answer}\n")
    return terminal


def normal(text: str) -> str:
    """Leave out what differs from run to run, and all white space: how a line is wrapped is not its
    text."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\d\d\d\d-\d\d-\d\dTTIME\S*", "MOMENT", text)
    text = re.sub(r"\b(\d+ min )?\d+(\.\d+)? s\b", "N s", text)
    return "".join(text.split())


def assert_shown(lines: Sequence[str], expected: Sequence[str]) -> None:
    """Compare a screen with lines, each of which begins and ends a line of the screen, however it
    is wrapped."""
    rest = list(lines)
    for want in expected:
        got = ""
        while rest and len(normal(got)) < len(normal(want)):
            got += f" {rest.pop(0)}"
        assert normal(got) == normal(want), f"{got!r} is not {want!r} in:\n" + "\n".join(lines)
    assert rest == []


def area_of(frame: Sequence[str]) -> list[str]:
    """Return the live area of a frame."""
    begins = [place for place, line in enumerate(frame) if AREA.match(line)]
    return list(frame[begins[-1] :]) if begins else []


def above_area(frame: Sequence[str]) -> list[str]:
    """Return what stands above the live area of a frame, and above the empty line that sets it
    off."""
    lines = list(frame[: len(frame) - len(area_of(frame))])
    while lines and not lines[-1]:
        lines.pop()
    return lines


def assert_no_frame_is_torn(terminal: Terminal, highest: int) -> None:
    """Check that what stood above the live area in each frame stands there at the end, too.

    A frame may be seen when it is half written, so its last line may be the beginning of one.
    """
    final = terminal.lines
    for frame in terminal.frames:
        above = above_area(frame)
        assert len(area_of(frame)) <= highest, "\n".join(frame)
        assert above[:-1] == final[: len(above) - 1], "\n".join(frame)
        assert not above or final[len(above) - 1].startswith(above[-1]), "\n".join(frame)


def preamble(lab: Lab, ids: Sequence[int], wide: bool) -> list[str]:
    """Return what is shown up to the question."""
    controller = next(host.id for host in lab.hosts if host.metric(ACTIVE_CONTROLLERS) == 1)
    places = [(str(place), number, "ok") for place, number in enumerate(ids, 1)]
    left = [("left alone", host.id, "metrics ok") for host in lab.hosts if host.id not in ids]
    every = "every host" if len(ids) == 3 else f"every host of the plan ({len(ids)} of 3)"
    rows = [
        f"{place} {number} {lab.hosts[number - 1].address} {'DATE' if wide else ''} "
        f"{'controller' if wide and number == controller else ''} {found}"
        for place, number, found in [*places, *left]
    ]
    return [
        f"cluster lab/main, configured in {lab.home}/.kafka_discovery/lab.yaml, ZooKeeper "
        f"{lab.zookeeper}",
        "3 brokers are registered; the configuration expects 3 brokers; "
        f"controller: broker {controller}",
        "commands: stop `service kafka stop`, start `service kafka start`",
        "healthy in 2 checks 0.5 s apart, at most 600 s unhealthy",
        f"preflight: looking at 3 brokers, and at the hosts of {len(ids)}",
        f"# id host {'up since role' if wide else ''} preflight",
        *rows,
        f"preflight: {every} lets us in, both commands are allowed, all metrics answer",
        f"restarting {len(ids)} brokers takes at least 2 s of health checks, plus the restarts",
    ]


def restarted(lab: Lab, place: str, number: int) -> str:
    return (
        f"TIME {place} broker {number} ({lab.hosts[number - 1].address}): restarted: down for 3 "
        "s, healthy after 3 s"
    )


def is_in_hand(lab: Lab, number: int) -> bool:
    """Tell whether a broker's stop command has been called, which is held."""
    return bool(lab.hosts[number - 1].called(STOP))


def hold_third(lab: Lab, terminal: Terminal) -> None:
    """Confirm a run that restarts the third broker, and wait until it is being stopped."""
    lab.hosts[2].service.hold = STOP
    confirmed(terminal)
    assert wait_until(lambda: is_in_hand(lab, 3), 30)


def let_go(lab: Lab) -> None:
    lab.hosts[2].service.hold = None


def is_back(lab: Lab) -> bool:
    return lab.observer.restarted() == [3]


def test_a_whole_roll_at_80_columns_line_by_line(lab: Lab, at_terminal: AtTerminal) -> None:
    before = preamble(lab, [1, 2, 3], wide=True)
    lab.hosts[0].jmxproxy.override = {UNDER_REPLICATED: 6}
    terminal = confirmed(at_terminal(*QUICK, lines=50))
    terminal.wait_for("not healthy: 6 under-replicated partitions (6 led by broker 1)", 30)
    lab.hosts[0].jmxproxy.override = {}
    assert terminal.finish(120) == 0
    assert_shown(
        terminal.lines,
        [
            *before,
            "Restart 3 brokers of lab/main, one at a time? [y/N] y",
            *(restarted(lab, f"{number}/3", number) for number in (1, 2, 3)),
            "id host result down healthy new start",
            *(f"{host.id} {host.address} restarted 3 s 3 s DATE" for host in lab.hosts),
            "TIME restarted: broker 1, broker 2, broker 3; stopped and not back: none; untouched: "
            "none",
            "TIME all 3 brokers of the plan were restarted, and the cluster is healthy [done]",
        ],
    )
    assert_no_frame_is_torn(terminal, highest=6)
    areas = [area_of(frame) for frame in terminal.frames]
    first, second = (f"broker {host.id} ({host.address}), {host.id} of 3" for host in lab.hosts[:2])
    for expected in (
        [
            "waiting until the cluster is healthy: 0/2 checks, 0 s",
            f"next: {first}",
            "0 of 3 restarted, 3 untouched; 0 s so far",
        ],
        [
            "waiting until the cluster is healthy: 0/2 checks, 0 s",
            "not healthy: 6 under-replicated partitions (6 led by broker 1)",
            f"next: {first}",
            "0 of 3 restarted, 3 untouched; 0 s so far",
        ],
        [
            f"{first}: stopping, 0 s since the stop",
            "the stop command is running",
            "0 of 3 restarted, 1 stopped, 2 untouched; 3 s so far",
        ],
        [
            f"{first}: starting, 1 s since the stop",
            "waiting until it is registered and its new JVM answers",
            "0 of 3 restarted, 1 stopped, 2 untouched; 3 s so far",
        ],
        [
            "waiting until the cluster is healthy: 1/2 checks, 1 s",
            f"next: {second}",
            "1 of 3 restarted, 2 untouched; 8 s so far",
        ],
        [
            f"{second}: stopping, 0 s since the stop",
            "the stop command is running",
            "1 of 3 restarted, 1 stopped, 1 untouched; 8 s so far, about 8 s left",
        ],
    ):
        assert any(
            [normal(line) for line in area] == list(map(normal, expected)) for area in areas
        ), expected
    assert terminal.shows_cursor and b"\x1b[?25l" not in terminal.raw


def test_a_roll_that_is_ended_by_ctrl_c_at_40_columns_line_by_line(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    before = preamble(lab, [3, 1], wide=False)
    terminal = at_terminal(*QUICK, "--broker-ids", "3,1", columns=40, lines=60)
    hold_third(lab, terminal)
    terminal.type(CTRL_C)
    terminal.wait_for("SIGINT received: ", 10)
    let_go(lab)
    assert terminal.finish(90) == 128 + 2
    lines = terminal.lines
    raw = terminal.raw.replace(b"\x1b[0m", b"").decode()
    resume = ending_of(raw.rstrip().split("\r\n")).commands[0]  # one line to copy
    last = next(at for at, line in enumerate(lines) if line.startswith("kafka-rolling-restart: "))
    assert_shown(
        lines[:last],
        [
            *before,
            "Restart 2 brokers of lab/main, one at a time? [y/N] y",
            "TIME WARNING SIGINT received: will exit once the stopped broker is back. A second "
            "signal exits now and leaves it DOWN [signal-received]",
            "id host result down",
            f"3 {lab.hosts[2].address} restarted 4 s",
            f"1 {lab.hosts[0].address} untouched",
            "TIME restarted: broker 3; stopped and not back: none; untouched: broker 1",
        ],
    )
    said = (
        "kafka-rolling-restart: ended by SIGINT; every broker that was stopped is back. To go on "
        "with the rest, run the command below [interrupted]"
    )
    assert "".join("".join(lines[last:]).split()) == "".join(f"{said}{resume}".split())
    assert "--broker-ids 1 --started-before " in resume
    assert f"{shlex.join(PROGRAM)} " in resume
    assert_no_frame_is_torn(terminal, highest=10)
    areas = [area_of(frame) for frame in terminal.frames]
    assert any(
        area[-2:] == ["SIGINT received: will exit once the", "stopped broker is back"]
        and len(area) == 7
        for area in areas
    ), areas[-5:]


def test_without_colours_in_a_c_locale_and_killed_in_the_middle(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    """The area stays where it was, which cannot be helped; the cursor is below it, and what was
    above it is whole."""
    lab.hosts[2].jmxproxy.override = {UNDER_REPLICATED: 6}
    env = {"NO_COLOR": "1", "LANG": "C", "LC_ALL": "C"}
    terminal = confirmed(at_terminal(*QUICK, "--skip", "2", env=env))
    terminal.wait_for("not healthy: 6 under-replicated", 30)
    lab.hosts[2].jmxproxy.override = {}
    terminal.wait_for("1 of 1: starting", 30)
    terminal.kill()
    assert above_area(terminal.lines)[-1].endswith("[y/N] y") and len(area_of(terminal.lines)) == 3
    assert terminal.shows_cursor and terminal.cursor == (0, len(terminal.lines))
    assert terminal.raw.isascii() and not COLOUR.search(terminal.raw)
    assert b"\x1b[1m" in terminal.raw


def test_colours_are_used_where_nobody_minds_them(lab: Lab, at_terminal: AtTerminal) -> None:
    terminal = confirmed(at_terminal(*NO_BROKER), "n")
    assert terminal.finish(10) == 3
    assert COLOUR.search(terminal.raw)


@pytest.mark.parametrize("term", ["dumb", None], ids=["dumb", "unset"])
def test_a_terminal_that_can_nothing_gets_plain_lines(
    lab: Lab, at_terminal: AtTerminal, term: str | None
) -> None:
    terminal = confirmed(at_terminal(*NO_BROKER, term=term, columns=200))
    assert terminal.finish(30) == 0
    assert b"\x1b" not in terminal.raw and terminal.raw.isascii()
    after = terminal.lines[[line.endswith("[y/N] y") for line in terminal.lines].index(True) + 1 :]
    assert [re.sub(r"^\S+ ", "", line) for line in after] == [
        "INFO lab/main: no broker is left to restart",
        "INFO lab/main: waiting until the cluster is healthy in 2 checks",
        "INFO lab/main: restarted: none; stopped and not back: none; untouched: none",
        "INFO lab/main: no broker was left to restart; the cluster is healthy [nothing-to-restart]",
    ]


def test_a_terminal_that_is_resized_in_the_middle_loses_no_line(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    terminal = at_terminal(*QUICK, "--skip", "2", lines=50)
    hold_third(lab, terminal)
    whole = f"broker 3 ({lab.hosts[2].address}), 1 of 1: stopping, "
    before = above_area(terminal.wait_for(whole, 10))
    terminal.resize(40, 50)
    lines = terminal.wait_for(lambda lines: len(area_of(lines)) == 4, 10)
    assert above_area(lines) == [line[:40].rstrip() for line in before]
    assert max(map(len, area_of(lines))) > 30
    terminal.resize(100, 50)
    terminal.wait_for(lambda lines: len(area_of(lines)) == 3, 10)
    let_go(lab)
    assert terminal.finish(60) == 0
    assert terminal.lines[: len(before)] == [line[:40].rstrip() for line in before]
    assert_shown(
        terminal.lines[len(before) :],
        [
            restarted(lab, "1/1", 3),
            "id host result down healthy old start new start",
            f"3 {lab.hosts[2].address} restarted 3 s 3 s DATE DATE",
            "TIME restarted: broker 3; stopped and not back: none; untouched: none",
            "TIME the 1 broker of the plan was restarted, and the cluster is healthy [done]",
        ],
    )


def test_what_a_task_prints_stays_readable(
    lab: Lab, at_terminal: AtTerminal, tmp_path: Path
) -> None:
    (tmp_path / "upgrade.py").write_text(textwrap.dedent(TASK))
    terminal = confirmed(
        at_terminal(*QUICK, "--skip", "2", "--task", "upgrade", cwd=tmp_path, lines=50)
    )
    terminal.wait_for("a child writes", 60)
    assert terminal.lines[-2:] == ["unpacking", "a child writes"]  # no area meanwhile
    assert terminal.finish(60) == 0
    after = terminal.lines[[line.endswith("[y/N] y") for line in terminal.lines].index(True) + 1 :]
    said, printed = after[: after.index("unpacking")], after[after.index("unpacking") :]
    announced = (
        f"1/1 broker 3 ({lab.hosts[2].address}): running the post-stop task Upgrade; the "
        "broker is down until it ends"
    )
    assert " ".join(said).endswith(announced)  # before it begins, and on two lines
    assert printed[:4] == ["unpacking", "a child writes", "to stderr", "half a line"]
    assert_shown(printed[4:5], [restarted(lab, "1/1", 3)])
    assert area_of(terminal.lines) == []


def test_a_stopped_terminal_does_not_hold_up_the_restart_and_shows_it_all_later(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    terminal = at_terminal(*QUICK, "--skip", "2", "--check-count", "4", lines=50)
    hold_third(lab, terminal)
    terminal.type(CTRL_S)
    let_go(lab)
    assert wait_until(lambda: is_back(lab), 60)
    assert not any("restarted: down" in line for line in terminal.lines)
    terminal.type(CTRL_Q)
    assert terminal.finish(60) == 0
    assert_shown(terminal.lines[-6:-5], [restarted(lab, "1/1", 3)])
    assert area_of(terminal.lines) == []


def test_a_terminal_that_goes_away_in_the_critical_section_leaves_no_broker_down(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    terminal = at_terminal(*QUICK, "--broker-ids", "3,1")
    hold_third(lab, terminal)
    terminal.hang_up()
    let_go(lab)
    assert terminal.finish(90) == 128 + 1
    assert is_back(lab) and lab.hosts[2].is_up()


def test_ctrl_z_hands_the_terminal_over_and_what_others_wrote_meanwhile_stays(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    script = 'echo before; "$@"; echo others; echo wrote this; fg >/dev/null; echo "status $?"'
    terminal = confirmed(at_terminal(*NO_BROKER, "--check-count", "6", script=script))
    terminal.wait_for("1/6 checks", 30)
    terminal.type(CTRL_Z)
    terminal.wait_for("status 0", 30)
    terminal.finish(10)
    assert area_of(terminal.lines) == []
    at = terminal.lines.index("others")
    assert "waiting" not in terminal.lines[at - 1] and "untouched" not in terminal.lines[at - 1]
    assert_shown(
        terminal.lines[at:],
        [
            "others",
            "wrote this",
            "TIME restarted: none; stopped and not back: none; untouched: none",
            "TIME no broker was left to restart; the cluster is healthy [nothing-to-restart]",
            "status 0",
        ],
    )


def test_in_the_background_there_is_no_area_that_would_eat_what_the_shell_writes(
    lab: Lab, at_terminal: AtTerminal
) -> None:
    terminal = at_terminal(*NO_BROKER, "--no-confirm", script='"$@" & wait $!; echo "status $?"')
    terminal.wait_for("status 0", 30)
    terminal.finish(10)
    assert b"A\x1b[J" not in terminal.raw
    assert any(
        "waiting until the cluster is healthy in 2 checks" in line for line in terminal.lines
    )


def test_a_stderr_that_is_a_file_gets_warnings_and_errors_as_plain_lines(
    lab: Lab, at_terminal: AtTerminal, tmp_path: Path
) -> None:
    elsewhere = ("--discovery-base-path", str(tmp_path))
    terminal = confirmed(at_terminal(*NO_BROKER, *elsewhere, stderr=tmp_path / "err"), "n")
    assert terminal.finish(10) == 3
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "err").read_text().splitlines()]
    assert lines == [
        f"WARNING lab/main: there is no lab.yaml in {tmp_path}; "
        f"{lab.home}/.kafka_discovery/lab.yaml was found instead [cluster-type-elsewhere]",
        "ERROR lab/main: not confirmed; no broker was touched [not-confirmed]",
    ]
    assert terminal.lines[-1].endswith("[y/N] n")


def test_a_stdout_that_is_a_file_gets_plain_lines_and_what_went_wrong_is_on_the_terminal(
    lab: Lab, at_terminal: AtTerminal, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    terminal = at_terminal(*NO_BROKER, stdout=out, columns=120)
    assert wait_until(lambda: out.read_text().endswith("[y/N] "), 30)
    terminal.type("n\n")
    assert terminal.finish(10) == 3
    assert b"\x1b" not in out.read_bytes() + terminal.raw
    assert [line.split(" ", 1)[-1] for line in terminal.lines] == [
        "n",
        "ERROR lab/main: not confirmed; no broker was touched [not-confirmed]",
    ]


@pytest.mark.parametrize(
    ("answer", "status", "echoed"),
    [
        ("n\n", 3, "n"),
        ("\n", 3, ""),
        ("yes please\n", 3, "yes please"),
        (CTRL_D, 3, ""),
        (CTRL_C, 130, "^C"),
    ],
    ids=["n", "nothing", "yes please", "Ctrl-D", "Ctrl-C"],
)
def test_any_answer_but_yes_touches_nothing(
    lab: Lab, at_terminal: AtTerminal, answer: str, status: int, echoed: str
) -> None:
    terminal = at_terminal(*QUICK)
    terminal.wait_for("[y/N]", 60)
    terminal.type(answer)
    assert terminal.finish(10) == status
    assert (
        terminal.lines[-2]
        == f"Restart 3 brokers of lab/main, one at a time? [y/N] {echoed}".rstrip()
    )
    assert (
        terminal.lines[-1].startswith("kafka-rolling-restart: ")
        and "no broker" in terminal.lines[-1]
    )
    assert [
        call for host in lab.hosts for call in host.calls() if call.endswith((STOP, "kafka start"))
    ] == []


@pytest.mark.parametrize("answer", ["Y", "YES", " yes "])
def test_yes_goes_on_however_it_is_written(lab: Lab, at_terminal: AtTerminal, answer: str) -> None:
    terminal = confirmed(at_terminal(*NO_BROKER, "--check-count", "1"), answer)
    assert terminal.finish(30) == 0
