"""Sphinx's settings. ``tox -e docs`` builds the pages."""

from __future__ import annotations

import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parents[1]))

from docs import manual  # noqa: E402
from kafka_rolling_restart import __version__  # noqa: E402

project = "kafka-rolling-restart"
version = release = __version__
html_theme = "alabaster"
html_show_copyright = False
html_static_path: list[str] = []
nitpicky = True
smartquotes = False  # they make one dash of the two of an option


class Manual(SphinxDirective):
    """Put the options in here, as the parser of the command line has them."""

    def run(self) -> list[nodes.Node]:
        """Return the sections of the manual."""
        for file in ("docs/manual.py", "kafka_rolling_restart/cli/arguments.py"):
            self.env.note_dependency(str(manual.ROOT / file))
        text = manual.rst(manual.make_parser())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("manual", Manual)
    return {"parallel_read_safe": True}
