r"""Words of others made safe for where they are shown: terminal, HTML, Markdown, tables.

Names of files, classes, patients and columns, words of headers and of other programs' errors are written by strangers.
Shown as they are, they could move the cursor, recolour or retitle a terminal (escape sequences), start a line that
looks like one of ours, turn the direction of reading round (CVE-2021-42574), become markup, or a formula in a
spreadsheet (CWE-1236). Every writer goes through one of these functions:

    visible       one line of text: what cannot be seen is spelt, a line break as `\n`
    for_terminal  the same for several lines of ours: a line break stays only before an indented line
    for_html      a value for a template, which escapes markup itself
    for_markdown  one line of Markdown that shows the text as it is
    to_cell       a cell of a CSV file that no spreadsheet takes for a formula; `from_cell` gives back what was written

A cell that begins like a formula, whatever its spaces, gets an apostrophe in front, as spreadsheets themselves mark
text; so does one that looks marked already. A cell that is a number stays one. So every text comes back as it was, and
whoever reads our tables with another program takes off one apostrophe that stands before `=`, `+`, `-`, `@`, a tab or a
line break, and before further apostrophes.
"""

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""Invisible, but part of the spelling of Persian, Hindi and others."""

NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:inf|nan)")
"""What a cell holds that is no text."""

FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+@\uff1d\uff0b\uff0d\uff20-])")
"""How cells begin that spreadsheets compute; the wide forms count in East Asian settings."""

MARKED = re.compile(rf"'(?={FORMULA.pattern})")

_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|~$&]|(?<=www)\.|:(?=//)|^\d+(?=[.)](?:\s|$))|^[+-](?=\s)|^=+$", re.IGNORECASE)
"""What Markdown (CommonMark and GitHub's tables, links and formulas) takes for more than text."""


def visible(text: str, *, keep: str = "") -> str:
    """Text in which everything can be seen: control characters, turns of direction and the like are spelt as escapes.

    Args:
        text: any words.
        keep: characters that stay as they are, such as a line break.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter in keep or _is_seen(letter) else _spelt(letter) for letter in text)


def _is_seen(letter: str) -> bool:
    return letter.isprintable() or letter in JOINERS or unicodedata.category(letter) == "Zs"


def _spelt(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def for_terminal(text: str) -> str:
    """Text of several lines, as an error has them; a line break that no indented line follows is not ours: spelt."""
    return "\n".join(map(visible, re.split(r"\n(?=  )", text)))


def for_html(value: object) -> object:
    """A value as a template shows it; text keeps its lines, and markup of the template, no plain `str`, stays."""
    return visible(value, keep="\n\t") if type(value) is str else value


def for_markdown(value: object) -> object:
    """A value as one line of Markdown that is read as this text: no markup, link, column or formula; see `for_html`."""
    if type(value) is not str:
        return value
    return _MARKUP.sub(lambda found: _escaped(found[0]), " ".join(visible(value, keep="\n\t").split()))


def _escaped(markup: str) -> str:
    return f"{markup}\\" if markup.isdecimal() else "\\" + markup


def to_cell(value: object) -> str:
    """A value as a cell of a CSV file; see above."""
    text = str(value)
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def from_cell(cell: str) -> str:
    """The text that `to_cell` wrote."""
    return cell[1:] if MARKED.match(cell) else cell
