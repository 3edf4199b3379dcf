"""Each outside system has its room: who imports a library, and that the README knows every file."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kafka_rolling_restart

PACKAGE = Path(kafka_rolling_restart.__file__).parent
README = Path(__file__).parents[2] / "README.rst"
ROOMS = {
    "kazoo": {"zookeeper.py", "connection.py"},
    "requests": {"jmxproxy.py", "transport.py"},
    "urllib3": {"transport.py"},
    "paramiko": {"ssh/client.py", "ssh/connect.py", "ssh/login.py"},
    "rich": {"screen.py"},
    "yaml": {"config.py"},
}


def files() -> Iterator[tuple[str, ast.AST]]:
    for file in PACKAGE.rglob("*.py"):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text())


def imported(tree: ast.AST) -> set[str]:
    """Return the top-level names of what a file imports, anywhere in it."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_imported_in_its_rooms_alone(library: str) -> None:
    assert {name for name, tree in files() if library in imported(tree)} == ROOMS[library]


def test_the_readme_says_where_every_file_is() -> None:
    text = README.read_text().partition("Where everything lives")[2]
    rooms = {name if "/" not in name else name.partition("/")[0] + "/" for name, _ in files()} - {"__init__.py"}
    assert {room for room in rooms if f"``{room}``" not in text} == set()
