"""What the troubleshooting table quotes is what the program says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kafka_rolling_restart
from tests.pages import page

BEGIN, END = ".. troubleshooting begins", ".. troubleshooting ends"
PLACEHOLDER = "\0"
LEAST = 9  # characters of a quotation that are to be literal


def table() -> str:
    """Return the table of docs/troubleshooting.rst."""
    text = page("troubleshooting.rst")
    return text.partition(BEGIN)[2].partition(END)[0]


def quotations() -> list[str]:
    """Return the quoted messages: the literals of the lines that begin with one."""
    terms = [line for line in table().splitlines() if line.startswith("``") and line.endswith("``")]
    return [quoted for term in terms for quoted in re.findall(r"``(.+?)``(?!`)", term)]


def fragments(quotation: str) -> list[str]:
    """Return what is literal in a quotation."""
    return [part for part in (part.strip() for part in quotation.split("...")) if part]


def literals() -> Iterator[str]:
    """Yield each string of the package, with `PLACEHOLDER` for what is filled in."""
    for file in Path(kafka_rolling_restart.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(one.value) if isinstance(one, ast.Constant) else PLACEHOLDER for one in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


SAID = list(literals())


@pytest.mark.parametrize("quotation", quotations())
def test_what_the_table_quotes_is_said_by_the_program(quotation: str) -> None:
    parts = fragments(quotation)
    assert sum(map(len, parts)) >= LEAST
    assert [part for part in parts if not any(part in said for said in SAID)] == []


def test_the_table_covers_every_time_at_which_something_is_said() -> None:
    heads = re.findall(r"^(.+)\n~+$", table(), re.MULTILINE)
    assert [head.split()[0] for head in heads] == ["Before", "While", "While", "At"]
    assert 35 <= len(quotations()) <= 80 and max(map(len, table().splitlines())) <= 120
