"""Words of strangers on the console: seen, not obeyed."""

import io

import pytest
from rich.table import Table

from sfumato import cli
from sfumato.commands.output import console
from sfumato.commands.output.console import DrawnBar, SafeConsole
from sfumato.errors import DataError, listed, raise_together
from sfumato.progress import bar, say

EVIL = "a\x1b]0;owned\x07[red]b[/red]\x9b2J\u202e:smile:\nerror: fake"
SEEN = r"a\x1b]0;owned\x07[red]b[/red]\x9b2J\u202e:smile:\nerror: fake"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to a terminal."""
    stream = io.StringIO()
    shown = SafeConsole(
        file=stream, force_terminal=True, width=300, highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    monkeypatch.setattr(console, "console", shown)
    return stream


def test_a_line_stays_one_line(written: io.StringIO) -> None:
    say(f"look first at {EVIL}")
    assert written.getvalue() == f"look first at {SEEN}\n"


def test_cells_and_titles_of_tables_hold_no_mark_up(written: io.StringIO) -> None:
    table = Table(EVIL.replace("\n", ""), title="[link=https://evil.example]By class[/link]")
    table.add_row(EVIL)
    console.console.print(table)
    text = written.getvalue()
    assert "[link=https://evil.example]By class[/link]" in text and text.count(SEEN.partition(r"\n")[0]) == 2
    assert "\x1b]" not in text and "\x9b" not in text and "\u202e" not in text and ":smile:" in text


def test_notes_of_a_progress_bar_move_no_cursor(written: io.StringIO) -> None:
    with bar("checking [red]", total=2) as progress:
        assert isinstance(progress, DrawnBar)
        progress.update(1, note=EVIL)
    text = written.getvalue()
    assert SEEN in text and "checking [red]" in text and "\x1b]" not in text and "\x9b" not in text


def test_json_for_people_is_seen_too(written: io.StringIO) -> None:
    console.console.print_json('{"class": "a\\u202e\\u009b2J"}')
    assert r"a\u202e\x9b2J" in written.getvalue()


def test_errors_name_strangers_in_their_own_lines_only(capsys: pytest.CaptureFixture[str]) -> None:
    error = DataError(f"{EVIL} is empty", expected=f"no {EVIL}", remedy=f"mv {EVIL}", code="DATA-003")
    assert str(error) == f"error DATA-003: {SEEN} is empty\n  expected: no {SEEN}\n  fix: mv {SEEN}"
    assert listed([EVIL, "b"]) == f"    {SEEN}\n    b"
    with pytest.raises(DataError) as caught:
        raise_together([DataError(f"{EVIL}: 2 faults:\n{listed(['x'])}"), DataError("c")])
    assert str(caught.value).splitlines()[:4] == [
        "error: 2 files cannot be used:",
        f"    {SEEN}: 2 faults:",
        "        x",
        "    c",
    ]
    assert cli._explain(RuntimeError(f"{EVIL}\n"), debug=True) == 1
    told = capsys.readouterr().err
    assert "\x1b" not in told and "\u202e" not in told and r"a\x1b]0;owned" in told


def test_wrong_words_of_the_command_line_are_seen(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["info\x1b[31m", "x"])
    told = capsys.readouterr().err
    assert r"info\x1b[31m" in told and "\x1b[31m" not in told
