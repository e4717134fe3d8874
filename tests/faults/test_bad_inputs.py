"""Bad inputs of every kind: each is refused by name, with its code, in words, and nothing is written.

A row makes a source that is sound but for one fault. The sources go through `sfumato convert`, which finds the cases
and reads every file of every kind before it writes.
"""

from pathlib import Path

import pytest

from sfumato.cli import main

from .bad import Bad, png
from .bad_arrays import ARRAYS
from .bad_images import IMAGES, MASKS
from .bad_tables import ROWS as TABLES
from .bad_volumes import VOLUMES

ROWS = (*IMAGES, *MASKS, *ARRAYS, *VOLUMES, *TABLES)


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: bad.name)
def test_bad_input_is_refused(bad: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "source").mkdir()
    source = bad.make(tmp_path / "source")
    with pytest.raises(SystemExit) as stop:
        main(["convert", str(source), "--to", "folder", "--out", str(tmp_path / "out"), *bad.flags])
    told = capsys.readouterr().err
    assert stop.value.code == 3, told
    assert f"error {bad.code}:" in told and "Traceback" not in told, told
    assert [words for words in bad.told if words not in told] == [], told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize(
    ("out", "told"),
    [
        ("source/inside", "overlap"),
        ("source", "overlap"),
        (".", "overlap"),
        ("full", "not empty"),
        ("full/file.txt", "is a file"),
    ],
)
def test_bad_outputs_are_refused(out: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("source/a.png", png()), ("full/file.txt", b"mine")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SystemExit) as stop:
        main(["convert", str(tmp_path / "source"), "--to", "folder", "--out", str(tmp_path / out)])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and told in error and "Traceback" not in error
    assert len(list(tmp_path.rglob("*"))) == 4 and (tmp_path / "full/file.txt").read_bytes() == b"mine"


def test_rows_are_many_and_have_names_of_their_own() -> None:
    assert len(ROWS) >= 100 and len({bad.name for bad in ROWS}) == len(ROWS)
