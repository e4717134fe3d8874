"""Masks, and images, of forms that are not read: refused in words where they would be passed over."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.source import find_cases
from sfumato.errors import DataError

COUNT = 4
POLYGON = "0 0.1 0.1 0.5 0.1 0.5 0.5 .1 0.5\n1 0.6 0.6 0.9 0.6 0.9 0.9\n"
BOX = "0 0.5 0.5 0.25 1\n1 0 0.5 1e-3 0.2 0.87\n"


def photos(folder: Path, name: str = "images/{n}.png") -> Path:
    for number in range(COUNT):
        path = folder / name.format(n=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.random.default_rng(number).integers(0, 255, (16, 16)).astype(np.uint8))
    return folder


def matlab(path: Path) -> None:
    savemat(path, {"inst_map": np.zeros((16, 16)), "inst_type": np.ones((3, 1))})


def matlab_7_3(path: Path) -> None:
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n")


def hdf5(path: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))


FORMS = {
    "v5": ("Labels/{n}.mat", matlab, "inst_map 16 x 16, inst_type 3 x 1", "scipy.io.loadmat"),
    "beside": ("images/{n}_label.mat", matlab, "inst_map 16 x 16", "scipy.io.loadmat"),
    "7.3": ("cjdata/{n}.mat", matlab_7_3, "MATLAB 7.3, which is HDF5", "h5py.File"),
    "HDF5": ("gt/{n}.h5", hdf5, "4 .h5", "h5py.File"),
    "damaged": ("gt/{n}.mat", lambda path: path.write_bytes(b"nothing"), "4 .mat", "scipy.io.loadmat"),
    "others in a folder of masks": ("masks/{n}.jp2", hdf5, "4 .jp2", "PNG or NPY"),
}


@pytest.mark.parametrize("kind", FORMS)
def test_masks_of_forms_that_are_not_read_are_refused(tmp_path: Path, kind: str) -> None:
    name, write, inside, way = FORMS[kind]
    photos(tmp_path)
    for number in range(COUNT):
        path = tmp_path / name.format(n=number)
        path.parent.mkdir(exist_ok=True)
        write(path)
    with pytest.raises(DataError) as refused:
        find_cases(tmp_path)
    assert refused.value.code == "DATA-069" and inside in refused.value.finding and way in refused.value.remedy


@pytest.mark.parametrize("named", [False, True])
def test_a_table_of_images_does_not_hide_masks_that_are_not_read(tmp_path: Path, named: bool) -> None:
    photos(tmp_path)
    (tmp_path / "Masks").mkdir()
    for number in range(COUNT):
        matlab(tmp_path / f"Masks/{number}.mat")
    table = tmp_path / "list.csv"
    table.write_text("image,label\n" + "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(COUNT)))
    with pytest.raises(DataError, match="no mask is read") as refused:
        find_cases(table if named else tmp_path)
    assert refused.value.code == "DATA-069" and "scipy.io.loadmat" in refused.value.remedy
    for number in range(COUNT):  # the way on that is told
        (tmp_path / f"Masks/{number}.mat").unlink()
    assert len(find_cases(table if named else tmp_path).cases) == COUNT


def test_files_of_no_image_or_of_few_are_no_masks(tmp_path: Path) -> None:
    matlab(photos(tmp_path) / "setid.mat")
    matlab(tmp_path / "images/0.mat")
    assert len(find_cases(tmp_path).cases) == COUNT


def test_masks_that_are_read_beside_others_count(tmp_path: Path) -> None:
    photos(tmp_path)
    (tmp_path / "mat").mkdir()
    (tmp_path / "masks").mkdir()
    for number in range(COUNT):
        write_image(tmp_path / f"masks/{number}.png", np.tri(16, dtype=np.uint8))
        matlab(tmp_path / f"mat/{number}.mat")
    assert find_cases(tmp_path).has_masks


def test_a_folder_of_nothing_else_says_what_is_inside(tmp_path: Path) -> None:
    matlab(tmp_path / "a.mat")
    with pytest.raises(DataError, match=r"1 \.mat \(a\.mat holds inst_map 16 x 16"):
        find_cases(tmp_path)


def test_polygons_of_yolo_are_refused_and_boxes_told(tmp_path: Path) -> None:
    for name, text in (("polygons", POLYGON), ("boxes", BOX), ("words", "a cat\n")):
        photos(tmp_path / name, "images/train/{n}.jpg.png")
        (tmp_path / name / "labels/train").mkdir(parents=True)
        for number in range(COUNT):
            (tmp_path / name / f"labels/train/{number}.jpg.txt").write_text("" if number == 1 else text)
    with pytest.raises(DataError, match=r"contours found, not read: 4 files of YOLO polygons") as refused:
        find_cases(tmp_path / "polygons")
    assert refused.value.code == "DATA-069"
    notes = find_cases(tmp_path / "boxes").notes
    assert "boxes are no masks, and are not used: 4 files of YOLO" in notes
    assert not any("CSV" in note for note in notes)
    assert not any("YOLO" in note for note in find_cases(tmp_path / "words").notes)


def test_masks_whose_images_are_not_read_are_no_images(tmp_path: Path) -> None:
    """The masks were taken for the images. Read as images they are given alone."""
    photos(tmp_path, "masks/{n}_mask.png")
    (tmp_path / "images").mkdir()
    for number in range(COUNT):
        (tmp_path / f"images/{number}.jp2").write_bytes(b"\0")
    with pytest.raises(DataError, match=r"masks alone: .* 4 \.jp2"):
        find_cases(tmp_path)
    assert len(find_cases(tmp_path / "masks").cases) == COUNT


@pytest.mark.parametrize("packed", [True, False])
def test_portable_pictures_and_their_masks_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    """STARE."""
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 255, (9, 9, 3)).astype(np.uint8)
        for name, picture in ((f"im{number}", pixels), (f"im{number}_mask", 255 * (pixels[..., 0] > 99))):
            content = io.BytesIO()
            Image.fromarray(picture.astype(np.uint8)).save(content, "PPM")
            path = tmp_path / f"{name}.ppm{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(content.getvalue()) if packed else content.getvalue())
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases] == [f"im{number}" for number in range(COUNT)] and found.has_masks
    assert np.unique(read_mask(found.cases[0].masks[0])).tolist() == [0, 255]
