"""What the wheel installs beside the package. ``tox -e docs`` runs this where the wheel is
installed."""

import re
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest

from docs import manual
from kafka_rolling_restart.cli.arguments import make_parser

PAGE = Path(sys.prefix, "share", "man", "man1", "kafka-rolling-restart.1")


def test_the_wheel_installs_the_man_page_of_this_parser() -> None:
    assert PAGE.read_text(encoding="utf-8") == manual.roff(make_parser())


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man: apt-get install -y man-db")
def test_man_finds_the_page_beside_the_command_and_warns_of_nothing() -> None:
    variables = {"PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    done = subprocess.run(
        ["man", "--warnings=w", "kafka-rolling-restart"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--unhealthy-time-limit S" in done.stdout and "EXIT STATUSES" in done.stdout


def test_the_long_description_needs_no_other_file(tmp_path: Path) -> None:
    # In a checkout, an .egg-info of another time may come first.
    (wheel,) = distributions(name="kafka-rolling-restart", path=[sysconfig.get_path("purelib")])
    text = (wheel.read_text("METADATA") or "").partition("\n\n")[2]
    assert "Five minutes to a dry run" in text and ".. image::" not in text
    (tmp_path / "README.rst").write_text(text, encoding="utf-8")
    strict = ["--report=2", "--halt=2", "--no-file-insertion", "--no-raw"]
    done = subprocess.run(
        [sys.executable, "-m", "docutils", *strict, str(tmp_path / "README.rst")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    links = re.findall(r'(?:href|src)="([^"]*)"', done.stdout)
    assert [
        link
        for link in links
        if not re.match(r"https?://|#|data:", link) and not link.endswith(".css")
    ] == []
