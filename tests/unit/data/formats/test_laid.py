"""Masks on their scans: what is written lies on them for every reader; what others draw is laid on them."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from monai.data import NibabelReader

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.laid import Laid, lay_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import read_header, read_volume
from sfumato.data.formats.volume import Axis, as_stored
from sfumato.data.source import find_cases
from sfumato.errors import DataError

SHAPE = (5, 6, 7)
MASK = (np.random.default_rng(0).random(SHAPE) > 0.6).astype(np.uint8)
CODES = [(1, 1), (1, 2), (2, 1), (2, 2), (0, 0), (1, 0), (0, 1)]
UNITS = {"mm": 1.0, "micron": 0.001, "meter": 1000.0, "unknown": 1.0}
AXES: tuple[Axis, ...] = ("axial", "coronal", "sagittal")


def turned(angle: float, steps: tuple[float, float, float], origin: tuple[float, float, float]) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    affine = np.eye(4)
    affine[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ np.diag(steps)
    affine[:3, 3] = origin
    return affine


SFORM, QFORM = turned(0.2, (2, 3, 4), (10, 20, 30)), turned(-0.1, (-2, 3, 4), (-5, 6, 7))


def scan(
    path: Path, codes: tuple[int, int], unit: str, shape: tuple[int, ...] = SHAPE, kind: type = nibabel.Nifti1Image
) -> Path:
    image = kind(np.zeros(shape, np.int16), None)
    image.header.set_qform(QFORM, codes[1])
    image.header.set_sform(SFORM, codes[0])
    if unit != "unknown":
        image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def itk(path: Path) -> list[np.ndarray]:
    image = SimpleITK.ReadImage(str(path))
    return [np.array(part) for part in (image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())]


def monai(path: Path) -> np.ndarray:
    reader = NibabelReader()
    return np.asarray(reader.get_data(reader.read(path))[1]["affine"])


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("codes", CODES)
def test_a_mask_lies_on_its_scan_for_every_reader(tmp_path: Path, codes: tuple[int, int], unit: str) -> None:
    image, mask = scan(tmp_path / "scan.nii.gz", codes, unit), tmp_path / "mask.nii.gz"
    write_volume(mask, MASK, read_header(image).affine, label=True, like=image)
    one, other = nibabel.load(image), nibabel.load(mask)
    assert np.array_equal(one.affine, other.affine) and np.array_equal(np.asarray(other.dataobj), MASK)
    for form in ("get_sform", "get_qform"):
        (there, code), (here, same) = getattr(one, form)(coded=True), getattr(other, form)(coded=True)
        assert code == same and (code == 0 or np.array_equal(there, here))
    assert one.header.get_xyzt_units() == other.header.get_xyzt_units()
    assert all(np.array_equal(there, here) for there, here in zip(itk(image), itk(mask), strict=True))
    assert np.array_equal(monai(image), monai(mask))
    assert lay_mask(image, mask) == Laid()


@pytest.mark.parametrize(("shape", "kind"), [((5, 6), nibabel.Nifti1Image), (SHAPE, nibabel.Nifti2Image)])
def test_a_mask_has_the_axes_and_the_kind_of_header_of_its_scan(
    tmp_path: Path, shape: tuple[int, ...], kind: type
) -> None:
    image, mask = scan(tmp_path / "scan.nii", (1, 1), "mm", shape, kind), tmp_path / "mask.nii"
    write_volume(mask, np.zeros((*shape, 1)[:3], np.uint8), read_header(image).affine, like=image)
    assert nibabel.load(mask).shape == shape and isinstance(nibabel.load(mask), kind)
    if kind is nibabel.Nifti1Image:  # SimpleITK knows no NIfTI-2
        assert all(np.array_equal(there, here) for there, here in zip(itk(image), itk(mask), strict=True))


@pytest.mark.parametrize("unit", UNITS)
def test_lengths_are_told_in_millimetres(tmp_path: Path, unit: str) -> None:
    header = read_header(scan(tmp_path / "scan.nii", (1, 0), unit))
    assert np.allclose(header.affine[:3], SFORM[:3] * UNITS[unit], rtol=1e-6)
    assert any("scaled to millimetres" in note for note in header.notes) == (UNITS[unit] != 1)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("codes", CODES)
def test_masks_drawn_in_itk_are_laid_on_their_scans(tmp_path: Path, codes: tuple[int, int], unit: str) -> None:
    image, mask = scan(tmp_path / "scan.nii", codes, unit), tmp_path / "mask.nii"
    drawn = SimpleITK.GetImageFromArray(MASK.T)
    drawn.CopyInformation(SimpleITK.ReadImage(str(image)))
    SimpleITK.WriteImage(drawn, str(mask))
    laid = lay_mask(image, mask)
    assert bool(laid.note) == (codes in [(2, 1), (2, 2), (0, 0)])
    for axis in AXES:
        count = len(read_volume(image).planes(axis))
        planes = np.stack([read_mask(f"{mask}::{laid.member(axis, number)}") for number in range(count)])
        assert np.array_equal(as_stored(planes, axis, read_header(image).affine), MASK)


def test_masks_of_programs_that_know_no_units(tmp_path: Path) -> None:
    image, mask = scan(tmp_path / "scan.nii", (1, 0), "micron"), tmp_path / "mask.nii"
    write_volume(mask, MASK, SFORM, label=True)
    assert "ignore its unit" in lay_mask(image, mask).note


def test_another_place_is_no_reading_of_the_header(tmp_path: Path) -> None:
    image, mask = scan(tmp_path / "scan.nii", (2, 1), "mm"), tmp_path / "mask.nii"
    write_volume(mask, MASK, QFORM + np.eye(4)[:, [3, 3, 3, 0]] * 0.5, label=True)
    with pytest.raises(DataError, match="another grid") as caught:
        lay_mask(image, mask)
    assert caught.value.code == "DATA-012"


def write_box(path: Path, box: np.ndarray, first: tuple[int, int, int], steps: tuple[float, float, float]) -> None:
    """A segmentation as 3D Slicer writes it: cut to what is drawn; NRRD, in LPS."""
    origin = np.array(first) * steps
    head = (
        f"NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: {' '.join(map(str, box.shape))}\n"
        f"space directions: ({steps[0]},0,0) (0,{steps[1]},0) (0,0,{steps[2]})\nkinds: domain domain domain\n"
        f"encoding: raw\nspace origin: ({','.join(map(str, origin))})\nSegment0_ID:=a\nSegment0_Name:=lesion\n"
        "Segment0_LabelValue:=1\n\n"
    )
    path.write_bytes(head.encode() + box.tobytes("F"))


@pytest.mark.parametrize("signs", [(-1, -1, 1), (1, -1, -1)])
def test_a_segmentation_cut_to_its_box_is_pasted(tmp_path: Path, signs: tuple[int, int, int]) -> None:
    """Whatever the order in which the image is stored."""
    steps, shape, first = (0.5, 0.75, 2.0), (9, 10, 11), (2, 3, 4)
    box = (np.random.default_rng(1).random((4, 5, 6)) > 0.5).astype(np.uint8)
    lps = np.zeros(shape, np.uint8)
    lps[2:6, 3:8, 4:10] = box
    stored = lps[
        tuple(slice(None, None, 1 if sign == usual else -1) for sign, usual in zip(signs, (-1, -1, 1), strict=True))
    ]
    affine = np.diag([*np.multiply(steps, signs), 1.0])
    for axis, (sign, usual) in enumerate(zip(signs, (-1, -1, 1), strict=True)):
        if sign != usual:  # the first stored voxel is the last towards L, P, S
            affine[axis, 3] = usual * steps[axis] * (shape[axis] - 1)
    (tmp_path / "raw").mkdir()
    write_volume(tmp_path / "raw/a.nii.gz", stored.astype(np.int16), affine)
    write_box(tmp_path / "raw/a.seg.nrrd", box, first, steps)
    laid = lay_mask(tmp_path / "raw/a.nii.gz", tmp_path / "raw/a.seg.nrrd")
    assert "box" in laid.note
    for axis in AXES:
        planes = read_volume(tmp_path / "raw/a.nii.gz").planes(axis)
        seen = [read_mask(f"{tmp_path}/raw/a.seg.nrrd::{laid.member(axis, number)}") for number in range(len(planes))]
        assert np.array_equal(np.stack(seen), planes)
    found = find_cases(tmp_path / "raw")
    assert any("box" in note for note in found.notes)
    assert sum(int(read_mask(case.masks[0]).sum()) for case in found.cases) == box.sum()


@pytest.mark.parametrize("first", [(-1, 3, 4), (6, 3, 4), (2.5, 3, 4)])
def test_a_box_that_is_none_of_the_image_is_refused(tmp_path: Path, first: tuple[int, int, int]) -> None:
    write_volume(tmp_path / "a.nii.gz", np.zeros((9, 10, 11), np.int16), np.diag([-0.5, -0.75, 2, 1]))
    write_box(tmp_path / "a.seg.nrrd", np.ones((4, 5, 6), np.uint8), first, (0.5, 0.75, 2.0))
    with pytest.raises(DataError, match="another grid"):
        lay_mask(tmp_path / "a.nii.gz", tmp_path / "a.seg.nrrd")


@pytest.mark.parametrize(
    ("slope", "stored", "classes"),
    [(0.00392, [0, 255], [0, 1]), (0.2499, [0, 4, 8], [0, 1, 2]), (0.7, [0, 1, 2, 3], None), (0.5, [0, 1, 2], None)],
)
def test_labels_off_by_the_rounding_of_a_slope(
    tmp_path: Path, slope: float, stored: list[int], classes: list[int] | None
) -> None:
    image = nibabel.Nifti1Image(np.resize(stored, (4, 3, 1)).astype(np.uint8), np.eye(4))
    image.header.set_slope_inter(slope, 0)
    image.to_filename(tmp_path / "a.nii")
    with_slope = bytearray((tmp_path / "a.nii").read_bytes())
    with_slope[112:116] = np.float32(slope).tobytes()
    with_slope[352:] = np.resize(stored, (4, 3, 1)).astype(np.uint8).tobytes("F")
    (tmp_path / "a.nii").write_bytes(with_slope)
    if classes is None:
        with pytest.raises(DataError, match="fractional"):
            read_mask(str(tmp_path / "a.nii"))
    else:
        assert np.unique(read_mask(str(tmp_path / "a.nii"))).tolist() == classes
