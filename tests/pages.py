"""What a reader reads: README.rst and the pages of docs/."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.rst"
DOCS = ROOT / "docs"


def pages() -> list[Path]:
    """Return the README and each page, in a fixed order."""
    return [README, *sorted(DOCS.glob("*.rst"))]


def page(name: str) -> str:
    """Return the text of a page of docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def everything() -> str:
    """Return the text of the README and of all pages."""
    return "\n".join(path.read_text(encoding="utf-8") for path in pages())


def literal_blocks(text: str) -> Iterator[list[str]]:
    """Yield the lines of each literal block that is not within an indented text, without their
    indentation."""
    block: list[str] | None = None
    is_announced = False
    for line in text.splitlines():
        is_indented = line.startswith("    ")
        if block is not None and line and not is_indented:
            yield block
            block = None
        if block is None and is_announced and is_indented:
            block = []
        if block is not None:
            block.append(line[4:])
        elif line:
            is_announced = line.endswith("::") and not line.startswith((" ", ".. "))
    if block is not None:
        yield block


def literal_lines() -> list[str]:
    """Return the lines of the literal blocks of the README and of all pages."""
    return [line for block in literal_blocks(everything()) for line in block if line]
