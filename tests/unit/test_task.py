import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_rolling_restart.errors import UsageError
from kafka_rolling_restart.task import Tasks, load

SEED = """
    from argparse import ArgumentParser
    from kafka_utils.kafka_rolling_restart.task import PostStopTask, PreStopTask

    class Before(PreStopTask):
        def parse_args(self, args):
            parser = ArgumentParser()
            parser.add_argument("--to", default="nothing")
            return parser.parse_args(args)

        def run(self, host):
            print(host, self.args.to)

    class After(PostStopTask):
        def parse_args(self, args):
            return Before.parse_args(self, args)

        def run(self, host):
            raise RuntimeError(host)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    path, known = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def load_text(here: Path, text: str, *arguments: str) -> Tasks:
    (here / "mytask.py").write_text(textwrap.dedent(text))
    return load(["mytask"], arguments)


def test_a_task_of_the_older_tool_is_loaded_from_the_current_directory(here: Path) -> None:
    tasks = load_text(here, SEED, "--to '3.9 .1'")
    assert [type(one).__name__ for one in tasks.pre_stop] == ["Before"]
    assert [type(one).__name__ for one in tasks.post_stop] == ["After"]
    assert tasks.pre_stop[0].args.to == "3.9 .1"


def test_an_installed_kafka_utils_is_used_and_its_classes_are_taken(here: Path) -> None:
    package = here / "kafka_utils" / "kafka_rolling_restart"
    package.mkdir(parents=True)
    (here / "kafka_utils" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "task.py").write_text(
        "class PreStopTask:\n    def __init__(self, args):\n        raise RuntimeError('takes "
        "text')\n"
        "class PostStopTask:\n    pass\n"
    )
    tasks = load_text(here, SEED, "--to 4")
    assert tasks.pre_stop[0].args.to == "4"
    assert len(tasks.post_stop) == 1


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ("x = 1", [], "has no class derived from PreStopTask, PostStopTask or PostStartTask"),
        ("import nothing_like_it", [], "cannot be imported"),
        ("1 / 0", [], "ZeroDivisionError"),
        ("raise SystemExit(3)", [], "exits when it is imported"),
        ("def (", [], "SyntaxError"),
        (SEED, ["--unknown 3"], "do not suit mytask.Before"),
        (SEED, ["'"], "No closing quotation"),
        (
            "from kafka_rolling_restart.task import *\nclass A(PreStopTask): pass",
            [],
            "its class A does not define run()",
        ),
    ],
)
def test_whatever_is_wrong_with_a_task_is_one_line(
    here: Path, text: str, arguments: list[str], said: str
) -> None:
    with pytest.raises(UsageError) as error:
        load_text(here, text, *arguments)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_file_that_a_task_was_loaded_from_is_told(here: Path) -> None:
    assert load_text(here, SEED).sources == (f"--task mytask is loaded from {here / 'mytask.py'}",)
    assert load([], []).sources == ()


def test_a_library_comes_before_a_module_of_its_name_in_the_current_directory(here: Path) -> None:
    (here / "pyte.py").write_text("raise SystemExit('hijacked')")
    sys.path.insert(0, "")  # as python -m and python -c have it
    sys.modules.pop("pyte", None)
    load_text(here, "import pyte\n" + textwrap.dedent(SEED))
    assert sys.path[-1] == str(here) and sys.path.count(str(here)) == 1 and "" not in sys.path


@pytest.mark.parametrize(
    "arguments", ["--token hunter2 '", "--token hunter2", "--password=hunter2"]
)
def test_a_secret_among_the_arguments_of_a_task_is_in_no_error(here: Path, arguments: str) -> None:
    with pytest.raises(UsageError, match="--task-args") as raised:
        load_text(here, SEED, arguments)
    assert "hunter2" not in str(raised.value)


def test_a_module_that_is_not_there_is_said(here: Path) -> None:
    with pytest.raises(UsageError, match="--task nowhere.at.all: no such module"):
        load(["nowhere.at.all"], [])


BOTH = (
    SEED
    + """
    from kafka_rolling_restart.task import PostStartTask

    class Last(PostStartTask):
        def run(self, host):
            pass
"""
)


def test_a_module_of_the_older_tool_may_have_a_post_start_task_too(here: Path) -> None:
    tasks = load_text(here, BOTH)
    kinds = (tasks.pre_stop, tasks.post_stop, tasks.post_start)
    assert [[type(one).__name__ for one in kind] for kind in kinds] == [
        ["Before"],
        ["After"],
        ["Last"],
    ]


def test_a_post_start_task_goes_together_with_those_of_an_installed_kafka_utils(here: Path) -> None:
    package = here / "kafka_utils" / "kafka_rolling_restart"
    package.mkdir(parents=True)
    (here / "kafka_utils" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "task.py").write_text(
        "class PreStopTask:\n    pass\nclass PostStopTask:\n    pass\n"
    )
    tasks = load_text(here, BOTH)
    assert (len(tasks.pre_stop), len(tasks.post_stop), len(tasks.post_start)) == (1, 1, 1)
