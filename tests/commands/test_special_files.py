"""Pipes where files should be: no verb waits for them, whatever argument or folder they are in."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.bad import OBJECT, PIXELS

from sfumato.cli import main
from sfumato.data.formats.image import write_image
from sfumato.escape import visible


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Ends what waits."""

    def end(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    for name in "ab":
        for part, pixels in (("images", PIXELS), ("masks", OBJECT)):
            (tmp_path / "src" / part).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "src" / part / f"{name}.png", pixels)
    return tmp_path / "src"


def told(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[object, str]:
    """Exit code and words of a command."""
    code: object = 0
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    "verb", [("check",), ("prepare", "--out", "OUT"), ("convert", "--to", "folder", "--out", "OUT")]
)
def test_a_pipe_among_the_images_is_named(
    verb: tuple[str, ...], pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "images/a.png").unlink()
    os.mkfifo(pairs / "images/a.png")
    command, *flags = (str(tmp_path / "out") if word == "OUT" else word for word in verb)
    code, said = told(capsys, command, pairs, *flags)
    assert code == 3 and "a.png" in said and "it is a named pipe, not a file" in said


def test_a_pipe_in_place_of_an_argument_is_named(pipe: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pipe.parent / "out"
    for code, *words in (
        (3, "check", pipe),
        (3, "prepare", pairs / "images", "--masks", pipe, "--out", out),
        (3, "prepare", pairs, "--labels", pipe, "--out", out),
        (2, "train", "segment", pairs, "--recipe", pipe, "--out", out),
        (2, "info", pipe),
        (2, "report", pipe),
    ):
        found, said = told(capsys, *words)
        assert found == code and "Traceback" not in said, said


@pytest.mark.parametrize("name", ["summary.json", "scores.csv", "manifest.csv", "log.jsonl", "provenance.json"])
def test_a_pipe_in_a_folder_to_report_is_named(
    name: str, pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pairs / "manifest.csv").write_text("id,image\na,images/a.png\n")
    (pairs / name).unlink(missing_ok=True)
    os.mkfifo(pairs / name)
    code, said = told(capsys, "report", pairs, "--out", tmp_path / "a.html")
    assert code in (0, 2, 3, 5) and "Traceback" not in said, said
    assert (code == 0) == (tmp_path / "a.html").exists()


def test_a_pipe_in_a_run_is_named(segment_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run.json", "recipe.yaml", "log.jsonl", "checkpoints/best"):
        run = tmp_path / name.replace("/", "_")
        shutil.copytree(segment_run, run)
        (run / name).unlink()
        os.mkfifo(run / name)
        code, said = told(capsys, "info", run)
        assert code in (0, 2, 3, 5) and "Traceback" not in said, (name, said)


def test_escape_sequences_in_names_reach_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class and a file with names that would recolour, retitle, and forge a line of ours."""
    evil = "\x1b[31m\x1b]0;x\x07\nerror DATA-000: forged\u202e[red]"
    folder = tmp_path / f"src {evil}" / f"class{evil}"
    folder.mkdir(parents=True)
    for number in range(3):
        write_image(folder / f"{number}.png", PIXELS)
    for command, *flags in (
        ("check",),
        ("prepare", "--out", tmp_path / f"out{evil}", "--size", "16"),
        ("check", "--class-level", "9"),
    ):
        _, said = told(capsys, command, folder.parent, *flags)
        assert visible(evil) in said
        assert not {"\x1b", "\x07", "\u202e"} & set(said)
        assert not any(line.startswith("error DATA-000") for line in said.splitlines())
