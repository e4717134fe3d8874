"""`sfumato convert`: what is written, what is said, and what is refused before anything is read."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sfumato.cli import main
from sfumato.commands.convert import convert
from sfumato.data.formats.image import read_image
from sfumato.data.source import find_cases
from sfumato.errors import DataError, UsageError


def test_json_result_names_what_was_written(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["convert", str(toy), "--to", "zip", "--out", str(tmp_path / "new/a.zip"), "--json"])
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert (result["form"], result["cases"], result["masks"]) == ("zip", 24, False)
    assert "note: the form has no place for masks, patients: left out" in shown.err
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.zip"]


def test_a_prepared_set_gives_the_original_pixels(toy: Path, dataset: Path, tmp_path: Path) -> None:
    result = convert(dataset, to="folder", out=tmp_path / "out")
    assert "original files" in " ".join(result["notes"])
    before, after = find_cases(dataset).cases, find_cases(tmp_path / "out").cases
    assert [(case.id, case.label, case.split, case.patient) for case in after] == [
        (case.id, case.label, case.split, case.patient) for case in before
    ]
    assert np.array_equal(read_image(after[0].image), read_image(str(toy / f"images/{after[0].id}.png")))
    assert (tmp_path / "out/provenance.json").is_file()


def test_dry_run_writes_nothing(toy: Path, tmp_path: Path) -> None:
    assert convert(toy, to="npz", out=tmp_path / "a.npz", dry_run=True)["cases"] == 24
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("form", "out", "more", "told"),
    [
        ("zip", "a.npz", {}, "--out"),
        ("nnunet", "moles", {}, "called moles"),
        ("folder", "new", {"crop": True}, "needs a shape"),
        ("folder", "new", {"size": "auto"}, "--size auto"),
        ("folder", "new", {"size": "big"}, "--size big"),
        ("zip", "taken.zip", {}, "there already"),
        ("zip", "folder.zip", {}, "is a folder"),
        ("folder", "taken.zip", {}, "is a file"),
    ],
)
def test_impossible_wishes_are_refused(
    toy: Path, tmp_path: Path, form: str, out: str, more: dict[str, str], told: str
) -> None:
    (tmp_path / "taken.zip").write_bytes(b"mine")
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(UsageError, match=told):
        convert(toy, to=form, out=tmp_path / out, **more)  # type: ignore[arg-type]
    assert len(list(tmp_path.iterdir())) == 2 and (tmp_path / "taken.zip").read_bytes() == b"mine"


def test_overwrite_replaces_a_file(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"old")
    convert(toy, to="zip", out=tmp_path / "a.zip", overwrite=True, size="16x24")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(archive.namelist()) == 25
    assert read_image(find_cases(tmp_path / "a.zip").cases[0].image).shape == (16, 24, 3)


def test_a_failure_leaves_what_was_there(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/a.png").write_bytes(b"")
    (tmp_path / "a.zip").write_bytes(b"old")
    with pytest.raises(DataError, match="is empty"):
        convert(tmp_path / "source", to="zip", out=tmp_path / "a.zip", overwrite=True)
    assert (tmp_path / "a.zip").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


def test_a_file_within_its_source_is_refused(toy: Path) -> None:
    with pytest.raises(UsageError, match="lies within the input"):
        convert(toy, to="zip", out=toy / "a.zip")
