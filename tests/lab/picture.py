"""Draw the live view of a real roll, as an emulated terminal shows it: ``python -m
tests.lab.picture``."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.style import Style
from rich.text import Text

from .lab import CLUSTER_TYPE, Lab
from .needs import missing
from .terminal import Cell, Terminal

PICTURE = Path(__file__).parents[2] / "docs" / "progress.svg"
COLUMNS, LINES = 80, 24
OPTIONS = ("--cluster-type", CLUSTER_TYPE, "--check-interval", "1", "--check-count", "3")
MOMENT = "2 of 3: starting, 2 s"
COLOURS = {"default": None, "brown": "yellow"}  # pyte calls it brown
# The fonts are the reader's own: a picture in a README loads nothing from elsewhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def main() -> int:
    """Roll a lab's brokers in a terminal, and draw it when the first is done and the second is in
    hand."""
    if problem := missing():
        print(problem, file=sys.stderr)
        return 1
    with Lab(brokers=3) as lab:
        rows, lines = moment(lab)
    PICTURE.write_text(svg(rows))
    print("\n".join([*lines, f"drawn to {PICTURE}: {PICTURE.stat().st_size} bytes"]))
    return 0


def moment(lab: Lab) -> tuple[list[list[Cell]], list[str]]:
    """Return what the terminal shows at the moment that is drawn, with colours and without."""
    terminal = Terminal(OPTIONS, lab.env, columns=COLUMNS, lines=LINES)
    try:
        terminal.wait_for("[y/N]", 60)
        terminal.type("y\n")
        lines = terminal.wait_for(MOMENT, 60)
        rows = terminal.cells[: len(lines)]
        terminal.finish(120)
    finally:
        terminal.kill()
    return rows, lines


def svg(rows: Sequence[Sequence[Cell]]) -> str:
    """Draw lines of characters."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for row in rows:
        text = Text()
        for style, cells in groupby(row, _style):
            text.append("".join(cell.data for cell in cells), style)
        text.rstrip()
        console.print(text)
    return console.export_svg(title="kafka-rolling-restart", code_format=FORMAT, unique_id="roll")


def _style(cell: Cell) -> Style:
    return Style(color=COLOURS.get(cell.fg, cell.fg), bold=cell.bold)


if __name__ == "__main__":
    sys.exit(main())
