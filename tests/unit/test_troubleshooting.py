"""The catalogue of codes against the source that says them, and against the page that is made of
it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kafka_rolling_restart
from kafka_rolling_restart.codes.catalogue import (
    CHAPTERS,
    entries,
    explained,
    find,
    listed,
    page,
    suggestions,
)
from kafka_rolling_restart.codes.entry import Entry

ROOT = Path(__file__).parents[2]
PACKAGE = Path(kafka_rolling_restart.__file__).parent
CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
CATALOGUE = list(entries())
# Functions of ours that return a code.
RETURNING = ("_code", "_code_of_success", "code_of_down")


def trees() -> Iterator[ast.Module]:
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name != "codes":
            yield ast.parse(file.read_text(encoding="utf-8"))


def constants(tree: ast.Module) -> dict[str, str]:
    """Return the strings that have a name in a module."""
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            value = getattr(node.value, "value", None)
            if isinstance(value, str):
                found[node.targets[0].id] = value
    return found


def strings(node: ast.AST, named: dict[str, str]) -> Iterator[str]:
    """Yield the strings in an expression, those that stand in it by name included."""
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value
        elif isinstance(one, ast.Name) and one.id in named:
            yield named[one.id]


def givers(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the expressions that a node of the syntax tree takes as a code: an argument, a name, a
    result."""
    if isinstance(node, ast.keyword) and node.arg == "code":
        yield node.value
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "with_code":
        yield node.args[1]
    elif isinstance(node, ast.Assign):
        yield from assigned(node)
    elif isinstance(node, ast.FunctionDef) and node.name in RETURNING:
        yield from (
            one.value
            for one in ast.walk(node)
            if isinstance(one, ast.Return) and one.value is not None
        )


def assigned(node: ast.Assign) -> Iterator[ast.AST]:
    """Yield what is assigned to ``code``, also where that is one of two."""
    target, value = node.targets[0], node.value
    pairs: list[tuple[ast.AST, ast.AST]] = [(target, value)]
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        pairs = list(zip(target.elts, value.elts, strict=True))
    yield from (
        given for name, given in pairs if getattr(name, "id", getattr(name, "attr", "")) == "code"
    )


def said() -> set[str]:
    """Return every code that the source can say."""
    found: set[str] = set()
    for tree in trees():
        named = constants(tree)
        for node in ast.walk(tree):
            for expression in givers(node):
                found.update(strings(expression, named))
    return found - {""}


def test_every_code_that_can_be_said_has_its_entry() -> None:
    known = {entry.code for entry in CATALOGUE}
    assert len(said()) > 60
    assert said() - known == set()


def test_no_entry_is_dead() -> None:
    assert {entry.code for entry in CATALOGUE} - said() == set()


def test_the_page_is_made_of_the_catalogue() -> None:
    written = (ROOT / "docs" / "troubleshooting.rst").read_text(encoding="utf-8")
    assert written == page(), (
        "run: python -m kafka_rolling_restart.codes > docs/troubleshooting.rst"
    )


def test_no_code_has_two_entries() -> None:
    codes = [entry.code for entry in CATALOGUE]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.code)
def test_an_entry_is_written_as_the_page_needs_it(entry: Entry) -> None:
    assert CODE.match(entry.code)
    assert entry.title and not entry.title.endswith(".") and entry.means and entry.look
    for text in (entry.title, entry.means, entry.look):
        assert text.count("`") % 2 == 0
        plain = re.sub(r"`[^`]+`", "", text)
        assert "--" not in plain and not re.search(r"[*_|]", plain), (
            "mark what is typed with backticks"
        )


def test_an_entry_tells_what_it_means_what_to_look_at_and_what_to_type() -> None:
    entry = find("stop-had-no-effect")
    assert entry is not None
    text = explained(entry)
    assert text.startswith("stop-had-no-effect: ")
    assert [head in text for head in ("What it means:", "What to look at:", "What to type:")] == [
        True
    ] * 3
    assert "    ssh HOST sudo service kafka stop\n" in text


def test_a_code_is_found_as_it_stands_at_the_end_of_a_line() -> None:
    assert find("[no-metrics]") is find("no-metrics") is not None
    assert find("no-metric") is None


def test_a_code_that_does_not_exist_leads_to_the_nearest() -> None:
    assert suggestions("stop-no-effect")[0] == "stop-had-no-effect"
    assert "under-replicated" in suggestions("replicated")
    assert suggestions("zzz") == [] == suggestions("")


def test_the_list_has_one_line_for_each_code() -> None:
    lines = listed().splitlines()
    assert len([line for line in lines if line.startswith("  ")]) == len(CATALOGUE)
    assert [line for line in lines if line and not line.startswith("  ")] == [
        f"{one.title}:" for one in CHAPTERS
    ]


# What ends a run or becomes a problem, a note or a reason; and what is told, though the run goes
# on.
TELLING = {
    *(
        "UsageError",
        "Refused",
        "Stopped",
        "BrokerDown",
        "LockHeld",
        "Defect",
        "SshError",
        "ZooKeeperUnavailable",
    ),
    *("ZooKeeperDenied", "KafkaDenied", "Problem", "Reason", "warn", "_warn", "error"),
}
# Receivers that have no codes: argparse's own, of which there is one code, logging, and what names
# the errors of Kafka.
OTHERS = {"parser", "LOG", "super", "session"}
# how many arguments there are where the code is one by its place
PLACES = {
    "Reason": 4,
    "Problem": 2,
    "Outcome": 3,
}


def is_without_code(call: ast.Call) -> bool:
    """Tell whether something is told without a code."""
    function = call.func
    name = getattr(function, "id", getattr(function, "attr", ""))
    receiver = getattr(getattr(function, "value", None), "id", "")
    if receiver in OTHERS or name not in TELLING | {"Outcome"}:
        return False
    return all(one.arg != "code" for one in call.keywords) and len(call.args) < PLACES.get(name, 99)


def test_nothing_that_ends_a_run_and_no_warning_lacks_a_code() -> None:
    wrong = [
        f"{file.relative_to(PACKAGE)}, line {node.lineno}"
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_without_code(node)
    ]
    assert wrong == []
