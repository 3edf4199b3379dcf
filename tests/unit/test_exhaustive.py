"""What the exhaustive schedules go through, and that a run goes on where it was cut off."""

import json
from pathlib import Path

import pytest

from tests.exhaustive import (
    BATCH,
    KINDS,
    PLANS,
    Batch,
    Plan,
    batches,
    choices,
    count,
    done_so_far,
    main,
    mishaps,
    parts,
    read_back,
    worlds_of,
)
from tests.simulation.schedule import Deed, Fault, Kind, Nature, Schedule, Signal

plans = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)


@plans
def test_every_kind_of_fault_is_met_at_every_step(plan: Plan) -> None:
    faults = [one for one in mishaps(plan) if isinstance(one, Fault)]
    moments = {(one.stop, one.at) for one in faults}
    assert len(moments) == 9
    for kind in KINDS[plan.schedule.registry]:
        assert {(one.stop, one.at) for one in faults if one.kind is kind} == moments


@plans
def test_no_fault_is_there_twice(plan: Plan) -> None:
    assert len(set(mishaps(plan))) == len(mishaps(plan))


@plans
def test_every_pair_is_in_the_batch_of_its_place(plan: Plan) -> None:
    every = [frozenset(some) for some in choices(plan)]
    assert len(every) == len(set(every))
    assert {len(some) for some in every} == {1, 2}
    for number in (0, 1, parts(plan) - 1):
        met = [{*one.faults, *one.signals} for one in worlds_of(Batch(plan.name, number))]
        assert met == every[number :: parts(plan)]


@plans
def test_the_number_of_worlds_is_that_of_the_choices(plan: Plan) -> None:
    assert sum(1 for _ in choices(plan)) == count(plan)


def test_no_batch_is_larger_than_it_may_be() -> None:
    assert max(len(worlds_of(one)) for one in batches(PLANS)[:4]) <= BATCH


def test_the_batches_are_the_same_each_time_and_each_is_there_once() -> None:
    every = batches(PLANS)
    assert every == batches(PLANS)
    assert len({one.key for one in every}) == len(every)


def test_every_kind_of_fault_of_the_simulation_is_in_a_plan_or_left_out_by_name() -> None:
    left_out = {
        Kind.STARTED,  # a start by somebody else does what ours does
        Kind.SSH_SLOW,  # as SSH, but slower
        Kind.THREADS,  # this machine, and no fault of the cluster
        Kind.HELD_UP,  # as PAUSED, at another moment
        Kind.PROXY_GARBAGE,  # as PROXY_DOWN, to whoever reads it
    }
    met = {kind for kinds in KINDS.values() for kind in kinds}
    assert met | left_out == set(Kind)
    assert not met & left_out


def test_a_world_that_is_printed_can_be_replayed() -> None:
    fault, signal = Fault(Kind.QUORUM, None, 1, 2.0, 3.0), Signal(1, 2.0, kill=True)
    schedule = Schedule(natures=(Nature(starts=(Deed(),)),), faults=(fault,), signals=(signal,))
    assert read_back(repr(schedule)) == schedule


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    file = tmp_path / "done.jsonl"
    record = {"batch": "zookeeper 0", "worlds": 200, "broken": []}
    file.write_text(f"{json.dumps(record)}\n{json.dumps(record)[:20]}", encoding="utf-8")
    assert done_so_far(file) == [record]
    assert file.read_text(encoding="utf-8") == f"{json.dumps(record)}\n"


def test_a_run_goes_on_with_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [one.key for one in batches([PLANS[0]])]
    done = [{"batch": key, "worlds": BATCH, "broken": []} for key in every]
    lines = "".join(f"{json.dumps(one)}\n" for one in done)
    (tmp_path / "done.jsonl").write_text(lines, encoding="utf-8")
    assert main([str(tmp_path), "--plan", PLANS[0].name, "--processes", "1"]) == 0
    assert f"{len(every)} of them done before" in capsys.readouterr().out


def test_a_promise_that_was_broken_before_is_told_again_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [one.key for one in batches([PLANS[0]])]
    done = [{"batch": key, "worlds": 1, "broken": [["has_no_defect", "-"]]} for key in every]
    lines = "".join(f"{json.dumps(one)}\n" for one in done)
    (tmp_path / "done.jsonl").write_text(lines, encoding="utf-8")
    assert main([str(tmp_path), "--plan", PLANS[0].name, "--processes", "1"]) == 1
    assert f"has_no_defect: {len(every)}" in capsys.readouterr().out
