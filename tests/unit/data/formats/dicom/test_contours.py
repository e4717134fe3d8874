"""Contours of structure sets as masks: where they lie, what they are called, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from tests.unit.data.formats.dicom.structure_sets import box, write_contours, write_ct

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import read_header, read_volume
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

RULE = "pixels whose centres lie inside"


def masks(found: DiscoveredDataset) -> np.ndarray:
    return np.stack([read_mask(case.masks[0]) for case in found.cases])


def area(shape: tuple[int, int], left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """A box of pixels; the last column and row are not in it."""
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_contours_beside_their_series(tmp_path: Path) -> None:
    """A hole by a second contour, regions on one another, a region of another plane, numbers that are no values."""
    write_ct(tmp_path / "ct")
    gtv = [(1.0, box(2.5, 3.5, 9.5, 9.5)), (1.0, box(4.5, 5.5, 6.5, 7.5)), (2.0, box(3, 4, 9, 9))]
    body = [(float(plane), box(0.5, 0.5, 17.5, 21.5)) for plane in range(4)]
    write_contours(tmp_path / "rs" / "plan.dcm", {"Body": body, "GTV": gtv}, first=40)
    found = find_cases(tmp_path)
    assert found.modality == "CT" and dict(found.mask_names) == {1: "Body", 2: "GTV"}
    assert any(RULE in note for note in found.notes) and len(found.cases) == 4
    drawn, shape = masks(found), (24, 20)
    ring = area(shape, 3, 4, 10, 10) & ~area(shape, 5, 6, 7, 8)
    whole = area(shape, 1, 1, 18, 22)
    assert np.array_equal(drawn[0], np.where(whole, 1, 0)) and np.array_equal(drawn[3], drawn[0])
    assert np.array_equal(drawn[1], np.where(ring, 2, whole))
    assert np.array_equal(drawn[2], np.where(area(shape, 3, 4, 9, 9), 2, whole))  # edges through centres


@pytest.mark.parametrize("axis", ["sagittal", "coronal"])
def test_contours_are_cut_as_their_image_is(tmp_path: Path, axis: str) -> None:
    write_ct(tmp_path / "ct")
    write_contours(tmp_path / "rs.dcm", {"GTV": [(1.0, box(2.5, 3.5, 9.5, 11.5))]})
    axial = np.flip(masks(find_cases(tmp_path)), 0)  # rows of the other planes run from the head down
    cut = masks(find_cases(tmp_path, hints=ReadOptions(slice_axis=axis)))  # type: ignore[arg-type]
    assert np.array_equal(cut, axial.transpose((2, 0, 1) if axis == "sagittal" else (1, 0, 2)))


def test_a_value_for_each_name(tmp_path: Path) -> None:
    """Two patients whose regions are numbered otherwise; one is chosen although another lies upon it."""
    tumour, lung = [(1.0, box(2.5, 2.5, 5.5, 5.5))], [(1.0, box(1.5, 1.5, 12.5, 12.5))]
    for name, regions in (("1", {"Lung": lung, "Tumour": tumour}), ("2", {"Tumour": tumour, "Lung": lung})):
        write_ct(tmp_path / f"p{name}" / "ct", series=f"1.2.{name}")
        write_contours(tmp_path / f"p{name}" / "rs.dcm", regions, series=f"1.2.{name}")
    found = find_cases(tmp_path)
    assert dict(found.mask_names) == {1: "Lung", 2: "Tumour"}
    assert any("numbered by their names" in note for note in found.notes)
    drawn = masks(found)
    assert np.array_equal(drawn[:4], drawn[4:]) and np.bincount(drawn[1].ravel()).tolist()[1:] == [112, 9]
    chosen = find_cases(tmp_path, hints=ReadOptions(class_names=("Lung",)))
    assert dict(chosen.mask_names) == {1: "Lung"} and masks(chosen)[5].sum() == 121
    assert any(note == "labels of other names, not used: Tumour" for note in chosen.notes)
    with pytest.raises(DataError, match=r"no region is called Heart; there are:\n\s+Lung\n\s+Tumour"):
        find_cases(tmp_path, hints=ReadOptions(class_names=("Heart",)))


def test_a_mask_without_the_chosen_region_is_empty(tmp_path: Path) -> None:
    for name, region in (("1", "Lung"), ("2", "Heart")):
        write_ct(tmp_path / f"p{name}" / "ct", series=f"1.2.{name}")
        write_contours(tmp_path / f"p{name}" / "rs.dcm", {region: [(1.0, box(1.5, 1.5, 4.5, 4.5))]},
                       series=f"1.2.{name}")  # fmt: skip
    found = find_cases(tmp_path, hints=ReadOptions(class_names=("Lung",)))
    assert masks(found).sum(axis=(1, 2)).tolist() == [0, 9, 0, 0, 0, 0, 0, 0]
    assert any("lack some label" in note and note.endswith(": 1") for note in found.notes)


def test_what_is_told(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    beyond = [(0.0, box(1, 1, 5, 5)), (2.0, box(1, 1, 5, 5)), (6.0, box(1, 1, 5, 5)), (1.0, box(90, 1, 99, 5))]
    needle = [(1.0, box(2.1, 1, 2.9, 20))]
    write_contours(tmp_path / "rs.dcm", {"Liver": beyond, "Isocentre": [], "Needle": needle})
    notes = find_cases(tmp_path).notes
    assert "contours outside of the images, left out: Liver" in notes
    assert "regions that have planes without a contour between others, empty there: Liver" in notes
    assert "regions without a closed contour, not used: Isocentre" in notes
    assert "regions whose contours hold no pixel's centre, empty: Needle" in notes


def test_several_structure_sets_go_to_the_series_that_they_name(tmp_path: Path) -> None:
    for number in (1, 2):
        write_ct(tmp_path / f"ct{number}", series=f"1.2.{number}")
        contours = [(float(number), box(1.5, 1.5, 4.5, 4.5))]
        write_contours(tmp_path / "all" / f"{3 - number}.dcm", {"GTV": contours}, series=f"1.2.{number}", first=number)
    found = find_cases(tmp_path)
    assert masks(found).sum(axis=(1, 2)).tolist() == [0, 9, 0, 0, 0, 0, 9, 0]
    write_contours(tmp_path / "more.dcm", {"GTV": []}, series="1.2.1")  # without a closed contour it is no mask
    assert len(find_cases(tmp_path).cases) == 8


def test_images_of_other_files_by_a_table_or_by_name(tmp_path: Path) -> None:
    """Contours are millimetres: they lie on a NIfTI of the same place too, whichever way its axes run."""
    first = write_ct(tmp_path / "ct")
    write_contours(tmp_path / "rs" / "rs.dcm", {"GTV": [(1.0, box(2.5, 3.5, 9.5, 11.5))]})
    expected = masks(find_cases(tmp_path))
    volume = read_volume(first)
    (tmp_path / "nii").mkdir()
    turned = volume.affine @ np.array([[0, -1, 0, 19], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], np.float64)
    write_volume(tmp_path / "nii" / "scan.nii.gz", np.rot90(volume.voxels, -1), turned)
    for image in ("ct/0.dcm", "nii/scan.nii.gz"):
        (tmp_path / "table.csv").write_text(f"image,mask\n{image},rs/rs.dcm\n")
        found = find_cases(tmp_path / "table.csv")
        assert np.array_equal(masks(found), expected) and dict(found.mask_names) == {1: "GTV"}, image
    for path in (tmp_path / "ct").iterdir():
        path.unlink()
    (tmp_path / "table.csv").unlink()
    (tmp_path / "rs" / "rs.dcm").rename(tmp_path / "rs" / "scan.dcm")
    assert np.array_equal(masks(find_cases(tmp_path / "nii", masks=tmp_path / "rs")), expected)


@pytest.mark.parametrize(
    ("contours", "words"),
    [
        ({"tags": {"space": "1.8"}}, "another frame of reference"),
        ({"plane": 1.5}, "lie between the planes of its image, or across them:\n    GTV: 0.50"),
        ({"plane": 40.0}, "all its contours lie outside of its image"),
    ],
)
def test_contours_of_another_place_are_refused(tmp_path: Path, contours: dict, words: str) -> None:
    write_ct(tmp_path / "ct")
    drawn = {"GTV": [(contours.get("plane", 1.0), box(1, 1, 5, 5))]}
    write_contours(tmp_path / "rs.dcm", drawn, **contours.get("tags", {}))
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-012" and words in str(caught.value)


def test_contours_without_their_images_are_refused(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    path = write_contours(tmp_path / "rs.dcm", {"GTV": [(1.0, box(1, 1, 5, 5))]}, series="1.2.77")
    with pytest.raises(DataError, match=r"1 mask has no image"):
        find_cases(tmp_path)
    with pytest.raises(DataError, match="RT Structure Set") as caught:
        read_header(path)
    assert caught.value.code == "DATA-040" and "give both" in str(caught.value)


def test_damaged_numbers_are_refused_without_quoting_them(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    path = write_contours(tmp_path / "rs.dcm", {"GTV": [(1.0, box(1, 1, 5, 5))]})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"-29.4\\-19.4\\7.9", b"-29.4\\-19.x\\7.9", 1))
    assert path.read_bytes() != content
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-006" and "19.x" not in str(caught.value)
