"""What the manifest of predictions says of presence and size: in the input's geometry, over whole volumes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from tests.unit.data.formats.dicom.structure_sets import SPACING, write_ct

from sfumato.data.formats.image import write_image
from sfumato.data.intensity import Intensity
from sfumato.data.placement import Canvas
from sfumato.data.source import find_cases
from sfumato.data.spec import Spec
from sfumato.data.units import units, whole_volumes
from sfumato.evaluation.postprocess import ChosenRepair, Postprocessing, Repair
from sfumato.experiment.inference import Ensemble, joined
from sfumato.outputs.predictions import Writer, Writing

SIDE = 12
STEPS = (0.5, 0.8, 3.0)


def spec_of(*classes: str, dimensions: Any = 2) -> Spec:
    intensity = Intensity("unit", 0, 255, "")
    names = ("background", *(classes or ("lesion",)))
    size = None if dimensions == 3 else (SIDE, SIDE)
    return Spec(size=size, channels=1, dtype="uint8", intensity=intensity, mask_classes=names, dimensions=dimensions)


def members_with(*pixels: Sequence[int]) -> np.ndarray:
    """Members whose mask has so many pixels of each foreground class, one class after the other, row by row."""
    masks = np.zeros((len(pixels), SIDE * SIDE), np.int64)
    for mask, counts in zip(masks, pixels, strict=True):
        mask[: sum(counts)] = np.repeat(np.arange(1, len(counts) + 1), counts)
    classes = len(pixels[0]) + 1
    return np.moveaxis(np.eye(classes, dtype=np.float32)[masks], -1, 1).reshape(len(masks), classes, SIDE, SIDE)


def row_of(source: Path, out: Path, members: Sequence[np.ndarray], spec: Spec, **words: Any) -> dict[str, Any]:
    """The row of the only unit of a source, from the members of each of its planes."""
    (unit,) = units(find_cases(source).cases, "same")
    place = Canvas((SIDE, SIDE)).place((SIDE, SIDE))
    drawn = [
        Ensemble(case=case, picture=np.zeros((SIDE, SIDE, 1), np.uint8), placement=place, members=each)
        for case, each in zip(unit.cases, members, strict=True)
    ]
    (row,) = Writer(folder=out, spec=spec, writing=Writing(save=()), **words).write([unit], iter(drawn))
    return row


def a_picture(folder: Path) -> Path:
    write_image(folder / "a.png", np.zeros((SIDE, SIDE), np.uint8))
    return folder / "a.png"


def a_scan(folder: Path, planes: int = 3) -> Path:
    voxels = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, planes)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*STEPS, 1])), folder / "a.nii.gz")
    return folder / "a.nii.gz"


def test_a_picture_is_counted_in_pixels(tmp_path: Path) -> None:
    row = row_of(a_picture(tmp_path), tmp_path, [members_with([10], [20], [0], [30])], spec_of())
    assert (row["presence_probability"], row["expected_size"]) == (0.75, 15)
    assert (row["size_low"], row["size_high"], row["size_unit"]) == (0, 30, "pixels")


def test_a_volume_that_is_drawn_plane_by_plane_has_the_sum_of_its_planes(tmp_path: Path) -> None:
    """Member by member: one plane's smallest masks are not those of the volume."""
    planes = [members_with([10], [0]), members_with([0], [10]), members_with([6], [2])]
    row = row_of(a_scan(tmp_path), tmp_path, planes, spec_of())
    voxel = STEPS[0] * STEPS[1] * STEPS[2]
    assert row["size_unit"] == "mm3" and row["presence_probability"] == 1
    assert row["size_low"] == pytest.approx(12 * voxel) and row["size_high"] == pytest.approx(16 * voxel)
    assert row["expected_size"] == pytest.approx(14 * voxel)


def test_a_volume_of_one_plane_has_an_area(tmp_path: Path) -> None:
    row = row_of(a_scan(tmp_path, planes=1), tmp_path, [members_with([10], [10])], spec_of())
    assert (row["expected_size"], row["size_unit"]) == (pytest.approx(10 * STEPS[0] * STEPS[1]), "mm2")


def test_dicom_is_measured_in_its_own_millimetres(tmp_path: Path) -> None:
    source = write_ct(tmp_path / "ct", shape=(2, SIDE, SIDE)).parent
    row = row_of(source, tmp_path / "out", [members_with([5], [7])] * 2, spec_of())
    assert row["size_unit"] == "mm3"
    assert row["expected_size"] == pytest.approx(12 * np.prod(SPACING), rel=1e-5)


def test_several_classes_have_a_column_each(tmp_path: Path) -> None:
    row = row_of(a_picture(tmp_path), tmp_path, [members_with([10, 0], [30, 4])], spec_of("liver", "a/b"))
    assert (row["presence_probability_liver"], row["presence_probability_a_b"]) == (1, 0.5)
    assert (row["expected_size_liver"], row["size_high_a_b"]) == (20, 4)
    assert row["size_unit"] == "pixels" and "expected_size" not in row


def test_a_single_member_is_judged_by_its_probabilities(tmp_path: Path) -> None:
    """Plane by plane: the likeliest voxel of the volume, and the sum over its planes."""
    planes = []
    for likely in (0.2, 0.6, 0.0):
        probability = np.zeros((1, 2, SIDE, SIDE), np.float32)
        probability[:, 1, :2] = likely
        probability[:, 0] = 1 - probability[:, 1]
        planes.append(probability)
    row = row_of(a_scan(tmp_path), tmp_path, planes, spec_of())
    voxel = STEPS[0] * STEPS[1] * STEPS[2]
    assert row["presence_probability"] == pytest.approx(0.6)
    assert row["expected_size"] == pytest.approx(2 * SIDE * 0.8 * voxel, rel=1e-4)
    assert (row["size_low"], row["size_high"]) == (0, pytest.approx(4 * SIDE * voxel, rel=1e-4))


def test_a_model_of_whole_volumes_says_the_same(tmp_path: Path) -> None:
    (unit,) = whole_volumes(find_cases(a_scan(tmp_path)).cases)
    members = np.stack([members_with([10], [20])] * 3, axis=2)
    size = (3, SIDE, SIDE)
    drawn = Ensemble(
        case=unit.cases[0],
        picture=np.zeros((*size, 1), np.uint8),
        placement=Canvas(None).place(size),
        members=members,
    )
    writer = Writer(folder=tmp_path, spec=spec_of(dimensions=3), writing=Writing(save=()))
    (row,) = writer.write([unit], iter([drawn]))
    voxel = STEPS[0] * STEPS[1] * STEPS[2]
    assert (row["size_low"], row["size_high"]) == (pytest.approx(30 * voxel), pytest.approx(60 * voxel))
    assert (row["size_unit"], row["presence_probability"]) == ("mm3", 1)


def test_the_members_of_all_folds_count(tmp_path: Path) -> None:
    (unit,) = units(find_cases(a_picture(tmp_path)).cases, "same")

    def stream(*pixels: int) -> Iterator[Ensemble]:
        members = members_with(*([count] for count in pixels))
        place = Canvas((SIDE, SIDE)).place((SIDE, SIDE))
        yield Ensemble(
            case=unit.cases[0], picture=np.zeros((SIDE, SIDE, 1), np.uint8), placement=place, members=members
        )

    writer = Writer(folder=tmp_path, spec=spec_of(), writing=Writing(save=()))
    (row,) = writer.write([unit], joined([stream(10, 0), stream(20), stream(0)]))
    assert (row["presence_probability"], row["size_low"], row["size_high"]) == (0.5, 0, 20)


def test_sizes_are_those_of_the_input_and_not_of_the_model(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((2 * SIDE, 2 * SIDE), np.uint8))
    (unit,) = units(find_cases(tmp_path / "a.png").cases, "same")
    place = Canvas((SIDE, SIDE)).place((2 * SIDE, 2 * SIDE))
    drawn = Ensemble(
        case=unit.cases[0],
        picture=np.zeros((2 * SIDE, 2 * SIDE, 1), np.uint8),
        placement=place,
        members=members_with([SIDE * 4], [SIDE * 4]),
    )
    (row,) = Writer(folder=tmp_path, spec=spec_of(), writing=Writing(save=())).write([unit], iter([drawn]))
    assert row["expected_size"] == pytest.approx(SIDE * 4 * 4, rel=0.01)


def test_a_repair_changes_the_mask_and_not_what_the_members_said(tmp_path: Path) -> None:
    specks = members_with([0], [0])
    specks[:, :, 2, 2] = specks[:, :, 8, 8] = (0, 1)
    largest = Postprocessing(chosen=(ChosenRepair(Repair(1, "largest"), 0.1, 2, 0),), cases=10)
    row = row_of(a_picture(tmp_path), tmp_path, [specks], spec_of(), postprocess=largest)
    assert row["expected_size"] == 2 and row["area"] == pytest.approx(1 / SIDE**2, abs=1e-6)
