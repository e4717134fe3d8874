"""Several DICOM segmentations or contours of one series: readers, parts or classes, by what they say and show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

from tests.unit.data.formats.dicom.structure_sets import box, write_contours, write_ct  # noqa: E402

from sfumato.data.formats.dicom.drawn import write_seg  # noqa: E402
from sfumato.data.formats.image import read_mask  # noqa: E402
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases  # noqa: E402
from sfumato.errors import DataError  # noqa: E402

SHAPE = (20, 24, 4)


def blob(left: int, top: int, planes: Sequence[int] = (1, 2), side: int = 6) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[left : left + side, top : top + side, list(planes)] = 1
    return labels


@pytest.fixture(autouse=True)
def without_empty_planes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segmentations as most programs write them."""
    whole = highdicom.seg.Segmentation
    monkeypatch.setattr(highdicom.seg, "Segmentation", lambda **said: whole(**(said | {"omit_empty_frames": True})))


def segmented(folder: Path, **drawn: tuple[str, np.ndarray]) -> Path:
    """A series with segmentations that refer to it, each of one label."""
    image = write_ct(folder / "ct", series=f"1.2.{len(folder.name)}{sum(map(ord, folder.name))}")
    for name, (label, voxels) in drawn.items():
        write_seg(folder / f"{name}.dcm", voxels, image, names=[label], link=True)
    return folder


def stacks(found: DiscoveredDataset) -> np.ndarray:
    """Readers x planes x rows x columns."""
    return np.array([[read_mask(mask) for mask in case.masks] for case in found.cases]).swapaxes(0, 1)


def seen(voxels: np.ndarray) -> np.ndarray:
    return voxels.transpose(2, 1, 0)


def test_files_of_one_label_each_are_classes(tmp_path: Path) -> None:
    """Their planes begin elsewhere; both say 1. The same by contours."""
    for name in ("p1", "p2"):
        segmented(tmp_path / name, a=("Spleen", blob(2, 2, (0, 1, 2))), b=("Liver", blob(10, 12, (2, 3))))
    found = find_cases(tmp_path)
    assert dict(found.mask_names) == {1: "Liver", 2: "Spleen"}
    expected = 2 * seen(blob(2, 2, (0, 1, 2))) + seen(blob(10, 12, (2, 3)))
    assert np.array_equal(stacks(found)[0], np.concatenate([expected, expected]))
    assert any("files of different labels, put together" in note for note in found.notes)
    one = find_cases(tmp_path, hints=ReadOptions(class_names=("Spleen",)))
    assert np.array_equal(stacks(one)[0, :4], seen(blob(2, 2, (0, 1, 2))))


def test_files_that_agree_on_numbers_are_read_plane_by_plane(tmp_path: Path) -> None:
    folder = segmented(tmp_path / "p", a=("Lesion", blob(2, 2, (1,))), b=("Lesion", blob(2, 3, (3,))))
    found = find_cases(folder)
    assert np.array_equal(stacks(found)[0], seen(blob(2, 2, (1,)) + blob(2, 3, (3,))))
    assert any("parts of one mask" in note for note in found.notes)


def test_files_of_the_same_label_on_one_another_are_readers(tmp_path: Path) -> None:
    folder = segmented(tmp_path / "p", r1=("Lesion", blob(3, 3)), r2=("Lesion", blob(4, 4, (1, 2, 3))))
    found = find_cases(folder)
    assert np.array_equal(stacks(found), [seen(blob(3, 3)), seen(blob(4, 4, (1, 2, 3)))])
    assert "readers: 2" in found.notes[0]


def test_the_same_of_contours(tmp_path: Path) -> None:
    write_ct(tmp_path / "ct")
    for number in (1, 2):
        contours = [(1.0, box(2.5, 2.5, 8.5 + number, 9.5))]
        write_contours(tmp_path / f"reader{number}.dcm", {"GTV": contours}, first=number)
    found = find_cases(tmp_path)
    assert stacks(found).sum(axis=(1, 2, 3)).tolist() == [7 * 7, 8 * 7]


def test_what_nobody_can_know_is_refused_with_flags_that_decide_it(tmp_path: Path) -> None:
    """Nodules of several readers: some lie on one another, others do not."""
    drawn = {
        "a": ("Nodule 1 A", blob(2, 2)),
        "b": ("Nodule 1 B", blob(3, 2)),
        "c": ("Nodule 2 A", blob(10, 12)),
        "d": ("Nodule 2 B", blob(11, 12)),
    }
    folder = segmented(tmp_path / "p", **drawn)
    with pytest.raises(DataError, match="of 6 pairs that were compared, 4 lie beside one another, 2 on") as caught:
        find_cases(folder)
    assert caught.value.code == "DATA-064" and "--readers-by" in str(caught.value)
    joined = find_cases(folder, hints=ReadOptions(join_masks=True, class_names=("1=nodule",)))
    assert np.array_equal(stacks(joined)[0], seen(np.maximum.reduce([voxels for _, voxels in drawn.values()])))
    assert dict(joined.mask_names) == {0: "background", 1: "nodule"}
    assert len(find_cases(folder, hints=ReadOptions(readers_by="suffix")).cases[0].masks) == 4


def test_labels_that_differ_by_the_reader_are_no_classes(tmp_path: Path) -> None:
    """They show the same, so the names alone do not make them classes."""
    folder = segmented(tmp_path / "p", a=("Tumour Smith", blob(2, 2)), b=("Tumour Jones", blob(2, 3)))
    with pytest.raises(DataError) as caught:
        find_cases(folder)
    assert caught.value.code == "DATA-064"


def test_contours_and_the_segmentation_made_of_them_are_one_reading(tmp_path: Path) -> None:
    """NSCLC-Radiomics. What is told works as typed; where they show something else, both stay readers."""
    image = write_ct(tmp_path / "ct")
    write_contours(tmp_path / "3.0/1-1.dcm", {"GTV": [(1.0, box(2.5, 2.5, 9.5, 9.5))]})
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[3:10, 3:10, 1] = 1
    (tmp_path / "300.0-Segmentation").mkdir()
    write_seg(tmp_path / "300.0-Segmentation/1-1.dcm", drawn, image, names=["GTV"], link=True)
    found = find_cases(tmp_path)
    assert all(len(case.masks) == 1 and "300.0" in case.masks[0] for case in found.cases)
    (told,) = (note for note in found.notes if "the same reading in another form" in note)
    assert "--readers-by folder" in told
    both = find_cases(tmp_path, hints=ReadOptions(readers_by="folder"))
    assert stacks(both).shape[0] == 2 and stacks(both).sum(axis=(1, 2, 3)).tolist() == [49, 49]
    drawn[3:10, 3:10, 1], drawn[4:11, 3:10, 1] = 0, 1
    write_seg(tmp_path / "300.0-Segmentation/1-1.dcm", drawn, image, names=["GTV"], link=True)
    assert stacks(find_cases(tmp_path)).shape[0] == 2
