"""Names of images, with the mark between file and member in names that people gave."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_image, write_image
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.nifti import write_volume
from sfumato.data.manifest import Case, read_manifest, write_manifest
from sfumato.data.preparation.chunk import cut_chunks
from sfumato.data.source import find_cases


@pytest.mark.parametrize(
    ("text", "path", "member"),
    [
        ("scan.png", "scan.png", ""),
        ("scans.npz::images/17", "scans.npz", "images/17"),
        ("volumes.npy::3/:/17", "volumes.npy", "3/:/17"),
        ("t10k-images-idx3-ubyte::17", "t10k-images-idx3-ubyte", "17"),
        ("SET.ZIP::a::b/x.png", "SET.ZIP", "a::b/x.png"),
        ("day::2/scan.nii.gz::axial/3", "day::2/scan.nii.gz", "axial/3"),
        ("IM0001::axial/0", "IM0001", "axial/0"),
        ("day::2/x.png", "day::2/x.png", ""),
        ("x::y.png", "x::y.png", ""),
        ("day:::2/a.zip::x", "day:::2/a.zip", "x"),
    ],
)
def test_names_of_what_is_no_longer_there(text: str, path: str, member: str) -> None:
    assert Locator.parse(text) == Locator(Path(path), member)
    assert str(Locator.parse(text)) == text


def pixels(number: int) -> np.ndarray:
    return np.full((8, 8), number, np.uint8)


def fill(folder: Path) -> None:
    """Images in every way in which they lie in files."""
    folder.mkdir(parents=True)
    write_image(folder / "p::q.png", pixels(1))
    np.savez(folder / "a.npz", images=np.stack([pixels(2), pixels(3)]))
    np.save(folder / "b.npy", np.stack([pixels(4), pixels(5)]))
    write_volume(folder / "c.nii.gz", np.full((4, 5, 3), 6, np.uint8), np.eye(4))
    with zipfile.ZipFile(folder / "d.ZIP", "w") as archive:
        archive.write(folder / "p::q.png", "xx::y/z.png")


LOCATORS = {"p::q.png": 1, "a.npz::images/1": 3, "b.npy::0": 4, "c.nii.gz::axial/2": 6, "d.ZIP::xx::y/z.png": 1}


@pytest.mark.parametrize("name", ["day::2", "a.npz::images", "::", "x::", "deep/day::2"])
def test_folders_with_the_mark(tmp_path: Path, name: str) -> None:
    fill(tmp_path / name)
    for locator, value in LOCATORS.items():
        assert (read_image(f"{tmp_path / name}/{locator}") == value).all(), locator


def test_a_folder_beside_that_is_called_like_the_beginning(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    fill(tmp_path / "day::2")
    for locator, value in LOCATORS.items():
        assert (read_image(f"{tmp_path}/day::2/{locator}") == value).all(), locator


def test_tables_that_are_read_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is asked below the table, not below the folder that one happens to be in."""
    fill(tmp_path / "set/day::2")
    cases = [Case(id=str(row), image=f"{tmp_path}/set/day::2/{name}") for row, name in enumerate(LOCATORS)]
    write_manifest(tmp_path / "set/manifest.csv", cases)
    assert "day::2/p::q.png" in (tmp_path / "set/manifest.csv").read_text()
    monkeypatch.chdir("/")
    assert [case.image for case in read_manifest(tmp_path / "set/manifest.csv")] == [case.image for case in cases]


def test_a_source_with_the_mark(tmp_path: Path) -> None:
    for row in range(3):
        (tmp_path / "day::2").mkdir(exist_ok=True)
        write_image(tmp_path / f"day::2/{row}::x.png", pixels(row))
    cases = find_cases(tmp_path / "day::2").cases
    assert [case.id for case in cases] == ["0::x", "1::x", "2::x"]
    assert [int(read_image(case.image)[0, 0, 0]) for case in cases] == [0, 1, 2]
    assert len(cut_chunks(cases)) == 3, "files of their own"


def test_an_archive_of_images_with_the_mark(tmp_path: Path) -> None:
    (tmp_path / "day::2").mkdir()
    write_image(tmp_path / "x.png", pixels(7))
    with zipfile.ZipFile(tmp_path / "day::2/set.zip", "w") as archive:
        for name in ("ab::c/1.png", "ab::c/2.png", "c/3.png"):
            archive.write(tmp_path / "x.png", name)
    found = find_cases(tmp_path / "day::2/set.zip")
    assert found.classes == ("ab::c", "c")
    assert all((read_image(case.image) == 7).all() for case in found.cases)
