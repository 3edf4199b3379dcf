import pytest

from kafka_rolling_restart.cli.arguments import parse
from kafka_rolling_restart.output.summarize import pieces, ranges


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([], ""),
        ([3], "3"),
        ([3, 1], "3,1"),
        ([1, 2, 3], "1,2,3"),
        ([1, 2, 3, 4], "1-4"),
        ([4, 3, 2, 1], "4,3,2,1"),
        ([3, 7, *range(12, 998), 1002], "3,7,12-997,1002"),
    ],
)
def test_ids_in_a_row_are_said_as_a_range_and_understood_as_one(ids: list[int], said: str) -> None:
    assert ",".join(ranges(ids)) == said
    assert not ids or parse(["-t", "main", "--broker-ids", said]).broker_ids == ids


def test_the_middle_of_many_that_say_the_same_is_one_piece() -> None:
    sizes = [len(piece) for piece in pieces(list(range(1000)), lambda number: number == 500)]
    assert sizes == [1, 1, 1, 1, 1, 493, 1, 1, 1, 1, 1, 1, 1, 1, 492, 1, 1]


def test_what_is_to_be_seen_is_always_a_piece_of_its_own() -> None:
    assert len(pieces(list(range(100)), lambda _: None)) == 100


def test_few_are_shown_as_they_are() -> None:
    assert len(pieces(list(range(15)), lambda _: "the same")) == 15
