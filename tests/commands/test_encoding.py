"""Output that is not Unicode: what a command prints never ends it, and stays readable."""

import io
import sys
from contextlib import suppress

import pytest

from sfumato import cli
from sfumato.commands.output.console import console
from sfumato.commands.output.encoding import write_anything
from sfumato.commands.output.layout import show_table
from sfumato.progress import say


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")


def written(to: io.TextIOWrapper) -> str:
    to.flush()
    assert isinstance(to.buffer, io.BytesIO)
    return to.buffer.getvalue().decode(to.encoding)


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", 'GED^2 0.5 +- 0.1 - "caf\\xe9\\u809d.png"\n'),
        ("latin-1", 'GED\xb2 0.5 \xb1 0.1 - "caf\xe9\\u809d.png"\n'),
        ("utf-8", "GED\xb2 0.5 \xb1 0.1 \u2013 \u201ccaf\xe9\u809d.png\u201d\n"),
    ],
)
def test_signs_become_the_nearest_and_letters_are_spelt(
    encoding: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = stream(encoding)
    write_anything(to)
    monkeypatch.setattr(sys, "stderr", to)
    say("GED\xb2 0.5 \xb1 0.1 \u2013 \u201ccaf\xe9\u809d.png\u201d")
    assert written(to) == shown


def test_names_that_are_no_text_are_written() -> None:
    for encoding in ("utf-8", "latin-1", "ascii"):
        to = stream(encoding)
        write_anything(to)
        to.write("scan-\udce9.png")
        assert written(to) == "scan-\\udce9.png"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_table_needs_no_unicode(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    to = stream(encoding)  # strict: nothing may be replaced
    monkeypatch.setattr(sys, "stderr", to)
    monkeypatch.setattr(console, "_width", 80)
    show_table(["arm", "Dice"], [["real", "0.858 [0.812, 0.874]"]], title="A table")
    assert written(to).splitlines()[0] == "A table"


@pytest.mark.parametrize("words", [["--help"], ["train", "segment", "--help"], ["check"], ["check", "--wrong"]])
def test_help_and_errors_are_written_in_ascii(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = stream("ascii"), stream("ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with suppress(SystemExit):
        cli.main(words)
    shown = written(out) + written(err)
    assert ("Usage: sfumato" if "--help" in words else "Error") in shown and "\\u" not in shown
