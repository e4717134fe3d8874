"""Words of others, wherever they are shown."""

# ruff: noqa: RUF001 - letters of other scripts are what this is about

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.escape import NUMBER, for_html, for_markdown, for_terminal, from_cell, to_cell, visible

TRICKS = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "\x9b2J": r"\x9b2J",
    "good\rbad": r"good\rbad",
    "a\nerror: all is well": r"a\nerror: all is well",
    "a\u2028b\u2029c\x85d\x0be\x0cf": r"a\u2028b\u2029c\x85d\x0be\x0cf",
    "scan\u202egnp.exe": r"scan\u202egnp.exe",
    "\u2066a\u2069\u200f\u061c": r"\u2066a\u2069\u200f\u061c",
    "\ufeffa\u200bb\u00ad": r"\ufeffa\u200bb\xad",
    "\U000e0041": r"\U000e0041",
    "caf\udce9": r"caf\udce9",
    "\x00\x7f\t": r"\x00\x7f\t",
}
PLAIN = ("naïve", "5–10 mm", "Größe\u00a05", "日本語", "שלום", "می\u200cخواهم", "👩\u200d⚕", "[red]", "a\\nb", "")


@pytest.mark.parametrize(("text", "shown"), TRICKS.items(), ids=[repr(text) for text in TRICKS])
def test_what_cannot_be_seen_is_spelt(text: str, shown: str) -> None:
    assert visible(text) == for_terminal(text) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize("text", PLAIN)
def test_words_of_any_language_stay(text: str) -> None:
    assert visible(text) == for_terminal(text) == for_html(text) == from_cell(to_cell(text)) == text


def test_only_an_indented_line_is_a_line_of_ours() -> None:
    assert for_terminal("2 files:\n    a\x1b\n  b\nerror: none") == "2 files:\n    a\\x1b\n  b\\nerror: none"


def test_a_page_keeps_lines_and_markup_of_its_own() -> None:
    class Markup(str):
        __slots__ = ()

    assert for_html("a\n\tb\x1b\u202e") == "a\n\tb\\x1b\\u202e"
    own = Markup("<b>\x1b</b>")
    assert for_html(own) is own and for_html(3) == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("[x](http://y)", r"\[x\](http\://y)"),
        ("*a* _b_", r"\*a\* \_b\_"),
        ("~~a~~", r"\~\~a\~\~"),
        ("# top", r"\# top"),
        ("`code`", r"\`code\`"),
        ("a\n\n## b", r"a \#\# b"),
        ("&lt;", r"\&lt;"),
        ("$x$", r"\$x\$"),
        ("1. first", r"1\. first"),
        ("0.2", "0.2"),
        ("-0.3", "-0.3"),
        ("- item", r"\- item"),
        ("www.evil.example", r"www\.evil.example"),
        ("a\\", "a\\\\"),
        ("\x1b[31m", r"\\x1b\[31m"),
        ("Grade 1, left (5-10 mm)", "Grade 1, left (5-10 mm)"),
    ],
)
def test_markdown_shows_the_text(text: str, shown: str) -> None:
    assert for_markdown(text) == shown


FORMULAS = (
    *("=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "\u00a0=1"),
    *("＝1", "－a", "＋a", "＠a", "'=1", "''=1", "=", "-", "+", "@", "-3.5x", "-1e", "-.", "--1", "=-3.5"),
    *("-a.png", "'\tb", "+49 30 123"),
)
NUMBERS = ("-3.5", "+3", "-1e-05", "-0", "-inf", "nan", "inf", "-.5", "7", "-3.", "1e9")


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_begins_like_a_formula_and_all_come_back(text: str) -> None:
    cell = to_cell(text)
    assert cell == f"'{text}" and from_cell(cell) == text


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_stay_numbers(text: str) -> None:
    assert to_cell(text) == from_cell(text) == text
    assert to_cell(float(text)) == str(float(text))


@given(text=st.text(alphabet="'=+-@\t\r\n ＝a1.,\"", max_size=6))
def test_every_text_comes_back(text: str) -> None:
    cell = to_cell(text)
    assert from_cell(cell) == text
    assert NUMBER.fullmatch(cell) or cell.strip()[:1] not in set("=+-@＝") or cell[:1] == "'"
