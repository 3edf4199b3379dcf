"""The manual is made from the parser: as a man page, and as the page of the options."""

import argparse
import re

from docs import manual
from kafka_rolling_restart.cli.arguments import make_parser

TRICKY = argparse.ArgumentParser(
    prog="tricky-tool",
    usage="%(prog)s [options]",
    description="What it\nis for.",
    epilog=".not a macro:\n  .TH is no macro here, 'nor this\n  C:\\temp ~/x `y` a-b\n\nother "
    "things:\n  one\n",
)
TRICKY.add_argument(
    "-n", "--number", metavar="N", type=int, default=3, help="how *many* (default: %(default)s)"
)
TRICKY.add_argument("--kind", choices=("a", "b"), help=".hidden files, and C:\\temp")
TRICKY.add_argument("--flag", action="store_true", help="100%% sure of `%(prog)s`")


def plain(roff: str) -> str:
    r"""Return a man page without its fonts and escapes."""
    text = re.sub(r"\\f[BIR]", "", roff)
    for escape, meant in (
        (r"\-", "-"),
        (r"\(aq", "'"),
        (r"\(ga", "`"),
        (r"\(ti", "~"),
        (r"\(ha", "^"),
        (r"\&", ""),
    ):
        text = text.replace(escape, meant)
    return text.replace(r"\e", "\\")


def test_every_option_is_in_the_man_page_and_on_the_page_of_options() -> None:
    parser = make_parser()
    names = [name for action in parser._actions for name in action.option_strings]
    assert len(names) > 40
    page, man = manual.rst(parser), plain(manual.roff(parser))
    assert [name for name in names if not re.search(rf"``{name}[ `]", page)] == []
    assert [
        name for name in names if not re.search(rf"^(?:.*, )?{name}\b", man, re.MULTILINE)
    ] == []


def test_every_meaning_of_the_help_is_in_both() -> None:
    parser = make_parser()
    meanings = [option.meaning for group in manual.groups(parser) for option in group.options]
    page, man = manual.rst(parser).replace("\\", ""), plain(manual.roff(parser))
    assert all(meanings) and all("%(" not in meaning for meaning in meanings)
    assert [meaning for meaning in meanings if meaning not in page or meaning not in man] == []


def test_every_part_of_the_text_below_the_options_has_its_heading() -> None:
    titles = [section.title for section in manual.sections(make_parser())]
    assert {"signals", "exit statuses", "files", "environment", "examples"} <= set(titles)
    lines = "".join(section.lines for section in manual.sections(make_parser()))
    assert "128+n  ended by signal n" in lines and "need --allow-hosts." in lines


def test_an_option_is_shown_with_its_value_or_its_choices() -> None:
    (group,) = manual.groups(TRICKY)
    options = group.options
    assert [option.forms for option in options] == [
        ["-h", "--help"],
        ["-n N", "--number N"],
        ["--kind {a,b}"],
        ["--flag"],
    ]
    assert (
        options[1].meaning == "how *many* (default: 3)"
        and options[3].meaning == "100% sure of `tricky-tool`"
    )


def test_no_text_is_taken_for_a_command_of_the_man_page() -> None:
    lines = manual.roff(TRICKY).splitlines()
    assert {line.split()[0] for line in lines if line.startswith((".", "'"))} == {
        *(".TH", ".SH", ".SS", ".TP", ".nf", ".fi", ".nh", ".ad"),
    }
    assert r"\&.hidden files, and C:\etemp" in lines
    assert r"\&.TH is no macro here, \(aqnor this" in lines
    assert r"C:\etemp \(ti/x \(gay\(ga a\-b" in lines


def test_no_text_is_taken_for_markup_of_the_page() -> None:
    page = manual.rst(TRICKY)
    assert r"    how \*many\* (default: 3)" in page
    assert r"    .hidden files, and C:\\temp" in page
    assert r"    100% sure of \`tricky-tool\`" in page
