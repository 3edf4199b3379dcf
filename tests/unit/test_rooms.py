"""Each outside system has its room: who imports a library, and that the architecture page knows
every file."""

import ast
from functools import cache
from pathlib import Path

import pytest

import kafka_rolling_restart
from tests.pages import page

PACKAGE = Path(kafka_rolling_restart.__file__).parent
ROOMS = {
    "kafka": {"registry/kafka/client.py"},
    "asyncio": {"registry/kafka/client.py", "registry/kafka/wire.py"},
    "kazoo": {"registry/zookeeper.py", "registry/kazoo_client.py"},
    "requests": {"metrics/jmxproxy.py", "metrics/http.py"},
    "urllib3": {"metrics/http.py"},
    "paramiko": {"hosts/ssh/client.py", "hosts/ssh/connect.py", "hosts/ssh/login.py"},
    "rich": {"output/screen.py"},
    "yaml": {"cli/config_files.py"},
}
# From the top down: what stands on one floor imports nothing from a floor above, nor from a
# neighbour.
FLOORS: list[set[str]] = [
    {"__main__"},
    {"main"},
    {"cli"},
    {"roll"},
    {"restart", "output"},
    {"registry", "metrics", "hosts"},
    {"settings"},
    {"model"},
    {"task", "signals", "text", "parallel", "errors", "clock", "codes"},
]
GROUND = FLOORS[-1]


@cache
def files() -> list[tuple[str, ast.AST]]:
    return [
        (str(file.relative_to(PACKAGE)), ast.parse(file.read_text()))
        for file in PACKAGE.rglob("*.py")
    ]


def imported(tree: ast.AST) -> set[str]:
    """Return the top-level names of what a file imports, anywhere in it."""
    names = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    ]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("library", ROOMS)
def test_a_library_is_imported_in_its_rooms_alone(library: str) -> None:
    assert {name for name, tree in files() if library in imported(tree)} == ROOMS[library]


def test_the_architecture_page_says_where_every_file_is() -> None:
    text = page("architecture.rst").partition("Where everything is")[2]
    rooms = {name if "/" not in name else name.partition("/")[0] + "/" for name, _ in files()} - {
        "__init__.py"
    }
    assert {room for room in rooms if f"``{room}``" not in text} == set()


def ours(tree: ast.AST) -> set[str]:
    """Return the folders and top-level modules of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(PACKAGE.name):
            continue
        path = (node.module or "").split(".")[1:]
        found |= (
            {path[0]}
            if path
            else {alias.name for alias in node.names if alias.name != "__version__"}
        )
    return found


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_file_and_folder_has_its_floor() -> None:
    rooms = {name.partition("/")[0].removesuffix(".py") for name, _ in files()} - {"__init__"}
    assert rooms == set().union(*FLOORS)


def test_imports_point_downwards_from_floor_to_floor() -> None:
    wrong = []
    for name, tree in files():
        room = name.partition("/")[0].removesuffix(".py")
        if room in GROUND or room == "__init__":
            continue
        wrong += [
            f"{name} imports {other}"
            for other in ours(tree) - {room}
            if floor(other) <= floor(room)
        ]
    assert wrong == []


def test_no_folder_has_more_than_ten_files() -> None:
    folders = [path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    assert {
        folder.name: count for folder in folders if (count := len(list(folder.glob("*.py")))) > 11
    } == {}


# What names a registry or a source of metrics, and who may: its folder, what reads its options, and
# what explains them.
WORDS = {
    "zookeeper": ("registry", "cli", "settings", "codes"),
    "czxid": ("registry",),
    "brokers/ids": ("registry", "codes"),
    "jmxproxy": ("metrics", "cli", "settings", "codes"),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_registry_and_a_source_of_metrics_are_named_in_their_rooms_alone(word: str) -> None:
    texts = {
        str(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8").lower()
        for file in PACKAGE.rglob("*.py")
    }
    rooms = {name.partition("/")[0] for name, text in texts.items() if word in text}
    assert rooms - set(WORDS[word]) == set()
