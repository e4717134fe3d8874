"""Names and folders as well-known data sets have them: what is read, against what they hold in truth."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest

from sfumato.data.facts import case_facts
from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.formats.joined import OUTSIDE, mask_parts
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import read_volume
from sfumato.data.inspection.inspect import inspect, measure_cases
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.source.matching import rivals
from sfumato.data.source.matching.overlap import MASKS_COMPARED
from sfumato.data.split import split_cases
from sfumato.errors import DataError, UsageError

SIDE = 24
AXIAL = np.diag([1.0, 1, 4, 1])
COUNT = 4


def disc(row: int, column: int, radius: int, value: int = 255) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.where((rows - row) ** 2 + (columns - column) ** 2 <= radius**2, value, 0).astype(np.uint8)


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(20, 230, (SIDE, SIDE)).astype(np.uint8)


ONE, TWO, CUP, VIEW = disc(6, 6, 3), disc(17, 17, 4), disc(6, 6, 1), disc(12, 12, 11)
VESSELS = disc(12, 8, 2) | disc(12, 16, 2)


def save(folder: Path, name: str, content: np.ndarray) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".nii.gz"):
        write_volume(path, np.repeat(content[..., None], 3, axis=2).astype(np.int16), AXIAL)
    else:
        write_image(path, content)


class Habit(NamedTuple):
    """A layout: names of image and masks of case `n` with `{n}`, and what is to be found.

    Attributes:
        images: files of the image; several are channels.
        masks: files of masks with what they show.
        readers: masks that each case has in the end.
        classes: names of the classes of pixels that are a file each.
        files: files of each mask.
        others: further files that are no part of a case.
    """

    images: tuple[str, ...]
    masks: Mapping[str, np.ndarray]
    readers: int = 1
    classes: tuple[str, ...] = ()
    files: int = 1
    others: Mapping[str, np.ndarray] = MappingProxyType({})


HABITS = {
    "CHASE_DB1": Habit(("Image_{n:02}L.jpg",),
                       {"Image_{n:02}L_1stHO.png": VESSELS, "Image_{n:02}L_2ndHO.png": VESSELS}, 2),
    "DRIVE": Habit(
        ("training/images/{n}_training.tif",),
        {"training/1st_manual/{n}_manual1.gif": VESSELS, "training/mask/{n}_training_mask.gif": VIEW}, files=2,
    ),
    "DRIVE with two readers": Habit(
        ("test/images/{n:02}_test.tif",),
        {"test/1st_manual/{n:02}_manual1.gif": VESSELS, "test/2nd_manual/{n:02}_manual2.gif": VESSELS,
         "test/mask/{n:02}_test_mask.gif": VIEW}, readers=2, files=2,
    ),
    "HRF": Habit(("images/{n:02}_dr.jpg",),
                 {"manual1/{n:02}_dr.tif": VESSELS, "mask/{n:02}_dr_mask.tif": VIEW}, files=2),
    "ISIC 2018": Habit(("ISIC2018_Task1-2_Training_Input/ISIC_{n:07}.jpg",),
                       {"ISIC2018_Task1_Training_GroundTruth/ISIC_{n:07}_segmentation.png": ONE}),
    "BUSI": Habit(("benign/benign ({n}).png",),
                  {"benign/benign ({n})_mask.png": ONE, "benign/benign ({n})_mask_1.png": TWO},
                  files=2),
    "nuclei": Habit(("stage1/{n}f{n}a/images/{n}f{n}a.png",),
                    {"stage1/{n}f{n}a/masks/{n}9e1b.png": ONE, "stage1/{n}f{n}a/masks/{n}77ac.png": TWO}, files=2),
    "IDRiD": Habit(
        ("A. Segmentation/1. Original Images/a. Training Set/IDRiD_{n:02}.jpg",),
        {"A. Segmentation/2. All Segmentation Groundtruths/a. Training Set/1. Microaneurysms/IDRiD_{n:02}_MA.tif": ONE,
         "A. Segmentation/2. All Segmentation Groundtruths/a. Training Set/3. Hard Exudates/IDRiD_{n:02}_EX.tif": TWO},
        classes=("Hard Exudates", "Microaneurysms"), files=2,
    ),
    "disc and cup": Habit(("images/g{n}.jpg",), {"masks/g{n}_disc.png": ONE, "masks/g{n}_cup.png": CUP},
                          classes=("cup", "disc"), files=2),
    "Montgomery": Habit(
        ("MontgomerySet/CXR_png/MCUCXR_{n:04}_0.png",),
        {"MontgomerySet/ManualMask/leftMask/MCUCXR_{n:04}_0.png": ONE,
         "MontgomerySet/ManualMask/rightMask/MCUCXR_{n:04}_0.png": TWO}, files=2,
    ),
    "Kvasir": Habit(("Kvasir-SEG/images/cju{n}ab.jpg",), {"Kvasir-SEG/masks/cju{n}ab.jpg": ONE}),
    "CVC": Habit(("CVC/Original/{n}.tif",), {"CVC/Ground Truth/{n}.tif": ONE}),
    "Pascal VOC": Habit(("VOC/JPEGImages/2007_{n:06}.jpg",), {"VOC/SegmentationClass/2007_{n:06}.png": ONE},
                        others={"VOC/SegmentationObject/2007_{n:06}.png": ONE}),
    "Cityscapes": Habit(
        ("leftImg8bit/train/aachen/aachen_{n:06}_000019_leftImg8bit.png",),
        {"gtFine/train/aachen/aachen_{n:06}_000019_gtFine_labelIds.png": ONE},
        others={"gtFine/train/aachen/aachen_{n:06}_000019_gtFine_color.png": ONE,
                "gtFine/train/aachen/aachen_{n:06}_000019_gtFine_instanceIds.png": ONE},
    ),
    "QuPath": Habit(("tiles/S {n} [x=1,y=0].png",), {"tiles/S {n} [x=1,y=0]-labelled.png": ONE}),
    "Carvana": Habit(("train_images/{n}.png",), {"train_masks/{n}_mask.gif": ONE}),
    "LabelMe": Habit(("JPEGImages/{n}.jpg",), {"SegmentationClassPNG/{n}.png": ONE}),
    "GoldStandard": Habit(("im/{n}.png",), {"GoldStandard/{n}.png": ONE}),
    "experts": Habit(("data/{n}.png",), {"expert1/{n}.png": ONE, "expert2/{n}.png": ONE}, 2),
    "LIDC": Habit(("P{n}/nodule-0/images/slice-1.png",),
                  {"P{n}/nodule-0/mask-0/slice-1.png": ONE, "P{n}/nodule-0/mask-1/slice-1.png": ONE}, 2),
    "BTCV": Habit(("img/img{n:04}.nii.gz",), {"label/label{n:04}.nii.gz": ONE}),
    "LiTS": Habit(("volume-{n}.nii.gz",), {"segmentation-{n}.nii.gz": ONE}),
    "KiTS": Habit(("case_{n:05}/imaging.nii.gz",), {"case_{n:05}/segmentation.nii.gz": ONE}),
    "ACDC": Habit(("patient{n:03}/patient{n:03}_frame01.nii.gz",),
                  {"patient{n:03}/patient{n:03}_frame01_gt.nii.gz": ONE},
                  others={"patient{n:03}/patient{n:03}_4d.nii.gz": ONE}),
    "CAMUS": Habit(("p{n}/p{n}_2CH_ED.nii.gz",), {"p{n}/p{n}_2CH_ED_gt.nii.gz": ONE},
                   others={"p{n}/p{n}_2CH_half_sequence.nii.gz": ONE, "p{n}/p{n}_2CH_half_sequence_gt.nii.gz": ONE}),
    "BraTS": Habit(
        ("B_{n:03}/B_{n:03}_flair.nii.gz", "B_{n:03}/B_{n:03}_t1.nii.gz", "B_{n:03}/B_{n:03}_t1ce.nii.gz"),
        {"B_{n:03}/B_{n:03}_seg.nii.gz": ONE},
    ),
    "BraTS 2023": Habit(("B-{n:05}-000/B-{n:05}-000-t1n.nii.gz", "B-{n:05}-000/B-{n:05}-000-t2f.nii.gz"),
                        {"B-{n:05}-000/B-{n:05}-000-seg.nii.gz": ONE}),
    "contrasts alone in a folder": Habit(("p{n}/flair.nii.gz", "p{n}/t1.nii.gz"), {"p{n}/mask.nii.gz": ONE}),
    "unknown channels": Habit(("p{n}/p{n}_early.nii.gz", "p{n}/p{n}_late.nii.gz"), {"p{n}/p{n}_seg.nii.gz": ONE}),
    "BIDS": Habit(
        ("sub-0{n}/anat/sub-0{n}_FLAIR.nii.gz", "sub-0{n}/anat/sub-0{n}_T1w.nii.gz"),
        {"derivatives/lesions/sub-0{n}/anat/sub-0{n}_desc-lesion_mask.nii.gz": ONE},
    ),
    "TotalSegmentator": Habit(
        ("s{n:04}/ct.nii.gz",),
        {"s{n:04}/segmentations/liver.nii.gz": ONE, "s{n:04}/segmentations/kidney_left.nii.gz": TWO},
        classes=("kidney_left", "liver"), files=2,
    ),
    "nnU-Net without json": Habit(("imagesTr/a_{n:03}_0000.nii.gz", "imagesTr/a_{n:03}_0001.nii.gz"),
                                  {"labelsTr/a_{n:03}.nii.gz": ONE}),
    "PH2": Habit(("PH2/IMD{n:03}/IMD{n:03}_Dermoscopic_Image/IMD{n:03}.bmp",),
                 {"PH2/IMD{n:03}/IMD{n:03}_lesion/IMD{n:03}_lesion.bmp": ONE}),
    "SegTHOR": Habit(("Patient_{n:02}/Patient_{n:02}.nii.gz",), {"Patient_{n:02}/GT.nii.gz": ONE}),
    "EndoVis": Habit(
        ("seq_1/left_frames/frame{n:03}.png",),
        {"seq_1/ground_truth/Shaft_labels/frame{n:03}.png": ONE,
         "seq_1/ground_truth/Wrist_labels/frame{n:03}.png": TWO},
        classes=("Shaft", "Wrist"), files=2,
    ),
    "COVID-19 CT": Habit(("ct_scans/c{n}.nii.gz",), {"infection_mask/c{n}.nii.gz": CUP, "lung_mask/c{n}.nii.gz": ONE},
                         classes=("infection", "lung"), files=2),
    "two readers of several contrasts": Habit(
        ("p{n}/FLAIR.nii.gz", "p{n}/T1.nii.gz"),
        {"p{n}/ManualSegmentation_1.nii.gz": ONE, "p{n}/ManualSegmentation_2.nii.gz": ONE}, readers=2,
    ),
    "same names, another ending": Habit(("all/{n}.jpg",), {"all/{n}.png": ONE}),
    "folders of no known name": Habit(("pics/{n}.png",), {"areas/{n}.png": ONE}),
    "words of no list": Habit(("all/x{n}.png",), {"all/x{n}_polyp.png": ONE}),
    "volumes of no known name": Habit(("c{n}/early.nii.gz", "c{n}/late.nii.gz"), {"c{n}/lesion.nii.gz": ONE}),
}  # fmt: skip


def build(folder: Path, habit: Habit) -> None:
    for n in range(1, COUNT + 1):
        for place, name in enumerate(habit.images):
            save(folder, name.format(n=n), noise(10 * n + place))
        for name, content in {**habit.masks, **habit.others}.items():
            save(folder, name.format(n=n), content)


def truth(folder: Path, habit: Habit) -> dict[str, set[str]]:
    """The masks of each image, by their files."""
    return {
        str(folder / habit.images[0].format(n=n)): {str(folder / name.format(n=n)) for name in habit.masks}
        for n in range(1, COUNT + 1)
    }


def file_of(locator: str) -> str:
    return locator.partition("::")[0]


def pairing(found: DiscoveredDataset) -> dict[str, set[str]]:
    return {
        file_of(case.image): {file_of(part.locator) for mask in case.masks for part in mask_parts(mask)}
        for case in found.cases
    }


@pytest.mark.parametrize("name", HABITS)
def test_habits(tmp_path: Path, name: str) -> None:
    habit = HABITS[name]
    build(tmp_path, habit)
    found = find_cases(tmp_path)
    assert pairing(found) == truth(tmp_path, habit)
    assert {len(case.masks) for case in found.cases} == {habit.readers}
    assert {len(mask_parts(mask)) for case in found.cases for mask in case.masks} == {habit.files}
    assert tuple(found.mask_names.values()) == (("background", *habit.classes) if habit.classes else ())
    assert {1 + len(case.channels) for case in found.cases} == {len(habit.images)}
    assert all(read_mask(case.masks[0]).shape == (SIDE, SIDE) for case in found.cases)
    assert any(note.startswith("images: ") and f"({COUNT})" in note for note in found.notes)


STARE = Habit(
    ("stare-images/im{n:04}.png",), {"labels-ah/im{n:04}.ah.png": VESSELS, "labels-vk/im{n:04}.vk.png": VESSELS}, 2
)


def test_readers_that_only_have_initials_are_asked_about(tmp_path: Path) -> None:
    build(tmp_path, STARE)
    with pytest.raises(DataError, match=r"nearly alike.*are these readers") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-064" and "--readers-by folder" in str(caught.value)
    found = find_cases(tmp_path, hints=ReadOptions(readers_by="folder"))
    assert pairing(found) == truth(tmp_path, STARE) and {len(case.masks) for case in found.cases} == {2}


def first_mask(folder: Path, habit: Habit, **said: object) -> np.ndarray:
    build(folder, habit)
    return read_mask(find_cases(folder, hints=ReadOptions(**said)).cases[0].masks[0])  # type: ignore[arg-type]


def test_parts_are_joined_and_a_second_lesion_of_few_images_is_no_reader(tmp_path: Path) -> None:
    assert np.array_equal(first_mask(tmp_path, HABITS["BUSI"]), ONE | TWO)
    for n in range(2, COUNT + 1):
        (tmp_path / f"benign/benign ({n})_mask_1.png").unlink()
    found = find_cases(tmp_path)
    assert [len(mask_parts(case.masks[0])) for case in found.cases] == [2, 1, 1, 1]
    assert "joined in 1 image" in found.notes[0]


def test_pixels_outside_of_the_field_of_view_say_nothing(tmp_path: Path) -> None:
    mask = first_mask(tmp_path, HABITS["DRIVE"])
    assert np.array_equal(mask == OUTSIDE, VIEW == 0) and np.array_equal(mask == 255, VESSELS > 0)
    found = find_cases(tmp_path)
    assert found.ignore == OUTSIDE and any("field of view" in note and "--masks" in note for note in found.notes)


def test_images_with_nothing_but_a_field_of_view_have_no_mask(tmp_path: Path) -> None:
    build(tmp_path, HABITS["DRIVE"])
    for n in (1, 2):
        save(tmp_path, f"test/images/{n:02}_test.tif", noise(n))
        save(tmp_path, f"test/mask/{n:02}_test_mask.gif", VIEW)
    found = find_cases(tmp_path)
    assert len(found.cases) == COUNT and not found.unpaired
    assert any(
        note.startswith("images in folders without any mask, not used: test/images/*_test.tif (2)")
        for note in found.notes
    )
    (tmp_path / "test").rename(tmp_path / "more")
    with pytest.raises(DataError, match=r"2 images have no mask:\n.*01_test\.tif"):
        find_cases(tmp_path)
    assert len(find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True)).cases) == COUNT


def test_of_classes_that_overlap_the_smaller_is_on_top(tmp_path: Path) -> None:
    mask = first_mask(tmp_path, HABITS["disc and cup"])
    assert np.array_equal(mask, np.where(CUP > 0, 1, np.where(ONE > 0, 2, 0)))


def test_classes_of_volumes_are_read_plane_by_plane(tmp_path: Path) -> None:
    mask = first_mask(tmp_path, HABITS["TotalSegmentator"])
    kidney, liver = (
        read_mask(f"{tmp_path}/s0001/segmentations/{name}.nii.gz::axial/0") > 0 for name in ("kidney_left", "liver")
    )
    assert np.array_equal(mask, kidney + 2 * liver)
    found = find_cases(tmp_path, hints=ReadOptions(class_names=("liver",)))
    assert dict(found.mask_names) == {0: "background", 1: "liver"} and any("not used: 4" in n for n in found.notes)
    with pytest.raises(DataError, match="called after the class lung"):
        find_cases(tmp_path, hints=ReadOptions(class_names=("lung",)))


def test_a_class_whose_file_is_missing_is_told(tmp_path: Path) -> None:
    build(tmp_path, HABITS["TotalSegmentator"])
    (tmp_path / "s0002/segmentations/liver.nii.gz").unlink()
    assert any("lack a file for some class, taken for having none of it: 1" in n for n in find_cases(tmp_path).notes)


@pytest.mark.parametrize(
    ("masks", "code", "finding"),
    [
        ({"masks/{n}.png": ONE, "labels/{n}.png": TWO}, "DATA-011", "masks of two kinds, .*labels.* and .*masks"),
        ({"masks/{n}.png": ONE, "masks/{n}_mask.png": TWO}, "DATA-011", "masks of two kinds"),
        ({"{n}_mask.png": ONE, "{n}_lesion_mask.png": TWO}, "DATA-064", "some have names, and others none"),
        ({"expert1/{n}.png": ONE, "expert2/{n}.png": TWO}, "DATA-064", "called after readers, but never lie on one"),
        ({"{n}_mask_1.png": ONE, "{n}_mask_2.png": disc(6, 9, 3)}, "DATA-064", "of 4 pairs that were compared"),
        (
            {"masks/{n}_a1.png": VESSELS, "masks/{n}_b2.png": disc(12, 9, 2) | disc(12, 16, 2)},
            "DATA-064",
            "are these r",
        ),
    ],
)
def test_what_nobody_can_know_is_refused_and_can_be_said(
    tmp_path: Path, masks: dict[str, np.ndarray], code: str, finding: str
) -> None:
    build(tmp_path, Habit(("images/{n}.png",) if "/" in next(iter(masks)) else ("{n}.png",), masks))
    with pytest.raises(DataError, match=finding) as caught:
        find_cases(tmp_path)
    assert caught.value.code == code and "--join-masks" in str(caught.value)
    both = {"masks": 2, "labels": 2}
    joined = find_cases(tmp_path, hints=ReadOptions(join_masks=True))
    assert {len(mask_parts(case.masks[0])) for case in joined.cases} == {2}
    by: dict[str, object] = {"readers_by": "folder" if (next(iter(masks)).split("/")[0] in both and code == "DATA-011"
                             and "labels/{n}.png" in masks) or "expert1/{n}.png" in masks else "suffix"}  # fmt: skip
    assert {len(case.masks) for case in find_cases(tmp_path, hints=ReadOptions(**by)).cases} == {2}  # type: ignore[arg-type]


def test_masks_that_are_too_few_are_no_reason_to_drop_all_others(tmp_path: Path) -> None:
    build(tmp_path, HABITS["Kvasir"])
    for n in range(2, COUNT + 1):
        (tmp_path / f"Kvasir-SEG/masks/cju{n}ab.jpg").unlink()
    with pytest.raises(DataError, match="3 images have no mask") as caught:
        find_cases(tmp_path)
    assert "--drop-unpaired, which keeps the 1 image that has a mask, and leaves 3 out" in caught.value.remedy
    assert len(find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True)).cases) == 1
    save(tmp_path, "Kvasir-SEG/masks/stray.jpg", ONE)
    with pytest.raises(DataError, match="3 images have no mask") as caught:
        find_cases(tmp_path)
    assert "--drop-unpaired" not in str(caught.value) and "--images" in str(caught.value)


def test_a_folder_of_masks_is_no_class(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path, f"benign/b{n}.png", noise(n))
        save(tmp_path, f"malignant/m{n}.png", noise(n + 9))
        save(tmp_path, f"outlined/x{n}.png", ONE)
    with pytest.raises(
        DataError, match=r"1 of 3 folders hold pictures of few values.*\n.*outlined/\*\.png|x"
    ) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-068"
    found = find_cases(tmp_path, hints=ReadOptions(images="**/{id}.png"))
    assert found.classes == ("benign", "malignant", "outlined") and not found.has_masks


def test_images_of_few_values_alone_are_images(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path, f"a/{n}.png", ONE)
        save(tmp_path, f"b/{n}.png", TWO)
    found = find_cases(tmp_path)
    assert found.classes == ("a", "b") and not found.has_masks


def test_a_case_that_lacks_a_channel_is_refused(tmp_path: Path) -> None:
    build(tmp_path, HABITS["BraTS"])
    (tmp_path / "B_002/B_002_t1.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 image lacks channels.*\n.*B_002.*flair, t1ce") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-065"


def test_channels_are_told_and_remembered_by_name(tmp_path: Path) -> None:
    build(tmp_path, HABITS["BraTS"])
    found = find_cases(tmp_path)
    assert found.channels == ("flair", "t1", "t1ce") and "channels: flair, t1, t1ce" in found.notes[0]
    assert {case.volume for case in found.cases} == {f"B_{n:03}" for n in range(1, COUNT + 1)}


def test_readers_agree_on_what_lies_in_the_field_of_view(tmp_path: Path) -> None:
    build(tmp_path, HABITS["DRIVE with two readers"])
    save(tmp_path, "test/2nd_manual/01_manual2.gif", disc(12, 8, 2))
    facts = case_facts(find_cases(tmp_path).cases[0])
    assert facts.agreement is not None and facts.agreement.areas == ((VESSELS > 0).sum(), (disc(12, 8, 2) > 0).sum())


def by_hand(folder: Path) -> Path:
    for n in range(1, COUNT + 1):
        save(folder, f"scans/{n}/shot.png", noise(n))
        save(folder, f"scans/{n}/drawn_by_a.png", ONE)
        save(folder, f"scans/{n}/drawn_by_b.png", TWO)
    return folder


@pytest.mark.parametrize(
    ("images", "masks", "readers", "files"),
    [
        ("scans/{id}/shot.png", "scans/{id}/drawn_by_a.png", 1, 1),
        ("scans/{id}/shot.png", "scans/{id}/drawn_by_{reader}.png", 2, 1),
        ("scans/{id}/shot.png", "scans/{id}/drawn_by_{class}.png", 1, 2),
        ("**/{id}/shot.*", "**/{id}/drawn_by_{reader}.p?g", 2, 1),
        (r"re:scans/(?P<id>\d)/shot\.png", r"re:scans/(?P<id>\d)/drawn_by_(?P<reader>.)\.png", 2, 1),
    ],
)
def test_patterns_by_hand(tmp_path: Path, images: str, masks: str, readers: int, files: int) -> None:
    found = find_cases(by_hand(tmp_path), masks=masks, hints=ReadOptions(images=images))
    assert [case.id for case in found.cases] == [str(n) for n in range(1, COUNT + 1)]
    assert {len(case.masks) for case in found.cases} == {readers}
    assert {len(mask_parts(mask)) for case in found.cases for mask in case.masks} == {files}
    assert dict(found.reading) == {"images": images, "masks": masks}
    assert tuple(found.mask_names.values()) == (("background", "a", "b") if "{class}" in masks else ())


def test_a_pattern_of_masks_alone(tmp_path: Path) -> None:
    build(tmp_path, Habit(("all/{n}.png",), {"all/{n}_p1.png": ONE, "all/{n}_p2.png": TWO}))
    found = find_cases(tmp_path, masks="all/{id}_p1.png", hints=ReadOptions(drop_unpaired=True))
    assert {len(case.masks) for case in found.cases} == {1} and len(found.cases) == COUNT


def test_channels_by_hand(tmp_path: Path) -> None:
    build(tmp_path, HABITS["unknown channels"])
    found = find_cases(tmp_path, hints=ReadOptions(images=r"re:(?P<id>p\d)/p\d_(?P<channel>early|late)\.nii\.gz",
                                             masks="{id}/*_seg.nii.gz"))  # fmt: skip
    assert found.channels == ("early", "late") and {len(case.channels) for case in found.cases} == {1}
    assert {case.volume for case in found.cases} == {f"p{n}" for n in range(1, COUNT + 1)}


@pytest.mark.parametrize(
    ("said", "error", "finding"),
    [
        ({"images": "scans/*/shot.png"}, UsageError, "does not say what an image and its masks have in common"),
        ({"images": "{id}/{name}.png"}, UsageError, "{name} is not known"),
        ({"images": "re:(?P<id>["}, UsageError, "no regular expression"),
        ({"images": "nowhere/{id}.png"}, DataError, "fits none of 12 files"),
        ({"images": "scans/*/{id}.png"}, DataError, "gives 3 ids to several images"),
        ({"images": "scans/{id}/shot.png", "masks": "scans/{id}/{reader}_by_{class}.png"}, UsageError, "and a class"),
        ({"images": "scans/{id}/shot.png", "masks": "scans/{id}/nothing.png"}, DataError, "fits none of 8 files"),
    ],
)
def test_patterns_that_say_nothing_are_refused(
    tmp_path: Path, said: dict[str, str], error: type[Exception], finding: str
) -> None:
    with pytest.raises(error, match=re.escape(finding)):
        find_cases(by_hand(tmp_path), hints=ReadOptions(**said))  # type: ignore[arg-type]


def test_classes_get_names_by_their_values(tmp_path: Path) -> None:
    build(tmp_path, HABITS["Kvasir"])
    found = find_cases(tmp_path, hints=ReadOptions(class_names=("255=polyp",)))
    assert dict(found.mask_names) == {0: "background", 255: "polyp"}
    with pytest.raises(UsageError, match="given twice"):
        find_cases(tmp_path, hints=ReadOptions(class_names=("1=a", "1=b")))


def test_new_cases_are_put_together_as_a_model_was_taught(tmp_path: Path) -> None:
    build(tmp_path, HABITS["nnU-Net without json"])
    taught = ReadOptions(images_only=True, channels=("0000", "0001"))
    cases = find_cases(tmp_path / "imagesTr", hints=taught).cases
    assert {case.volume for case in cases} == {f"a_{n:03}" for n in range(1, COUNT + 1)}
    assert {Path(file_of(case.channels[0])).name for case in cases} == {f"a_{n:03}_0001.nii.gz" for n in range(1, 5)}
    with pytest.raises(DataError, match=r"1 image lacks channels.*\n.*a_001: 0000"):
        find_cases(tmp_path / "imagesTr/a_001_0000.nii.gz", hints=taught)
    assert {len(case.channels) for case in find_cases(tmp_path, hints=taught).cases} == {1}


def test_files_of_a_kind_in_the_folder_of_each_case_are_known_by_their_pixels(tmp_path: Path) -> None:
    for n in range(COUNT):
        for name, content in (("image", noise(n)), ("lung_left", ONE), ("lung_right", TWO)):
            save(tmp_path, f"{n}/{name}.png", content)
    found = find_cases(tmp_path)
    assert [(len(case.masks), len(mask_parts(case.masks[0]))) for case in found.cases] == [(1, 2)] * COUNT
    assert found.classes == () and {case.patient for case in found.cases} == set("0123")
    assert any("taken for masks" in note for note in found.notes)


def test_a_class_folder_with_a_word_for_masks_holds_images_by_their_pixels(tmp_path: Path) -> None:
    for n in range(COUNT):
        for folder in ("gt_positive", "negative"):
            save(tmp_path, f"{folder}/{n}.png", noise(n))
    assert find_cases(tmp_path).classes == ("gt_positive", "negative")


def test_what_is_called_a_mask_and_looks_like_one_is_no_image(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path, f"scan{n}.png", noise(n))
        save(tmp_path, f"other{n}_mask.png", ONE)
    with pytest.raises(DataError, match=r"4 images have no mask(.*\n)*.*4 masks have no image"):
        find_cases(tmp_path)


def test_readers_who_never_agree_are_not_nothing_to_do(tmp_path: Path) -> None:
    build(tmp_path, Habit(("images/{n}.png",), {"masks/{n}_1.png": ONE, "masks/{n}_2.png": TWO}))
    found = find_cases(tmp_path, hints=ReadOptions(readers_by="suffix"))
    findings = inspect(found, list(measure_cases(found.cases))).findings
    told = next(finding for finding in findings if finding.code == "DATA-096")
    assert told.severity == "warning" and "--join-masks" in told.fix and "Dice of 0.00" in told.text


def test_readers_who_draw_the_same_may_be_copies(tmp_path: Path) -> None:
    """MMOTU has each mask three times: in colours and as two forms of black and white."""
    build(tmp_path, Habit(("images/{n}.png",), {"masks/{n}_1.png": ONE, "masks/{n}_2.png": ONE}))
    found = find_cases(tmp_path, hints=ReadOptions(readers_by="suffix"))
    told = next(each for each in inspect(found, list(measure_cases(found.cases))).findings if each.code == "DATA-096")
    assert told.severity == "warning" and "copies of one mask" in told.fix and "Dice of 1.00" in told.text
    alone = find_cases(tmp_path, hints=ReadOptions(images="images/{id}.png", masks="masks/{id}_1.png"))
    assert len(alone.cases) == COUNT and {len(case.masks) for case in alone.cases} == {1}


def test_folders_that_a_person_calls_classes_are_no_patients(tmp_path: Path) -> None:
    """COVID-QU-Ex: images and masks below each diagnosis, which comes again in every split."""
    for split in ("Train", "Val", "Test"):
        for kind in ("COVID-19", "Normal"):
            for number in range(2):
                save(tmp_path, f"{split}/{kind}/images/{split}{number}.png", noise(number))
                save(tmp_path, f"{split}/{kind}/masks/{split}{number}.png", ONE)
    note = next(note for note in find_cases(tmp_path).notes if "taken as patients" in note)
    assert "--class-level 2 if each is a class" in note
    found = find_cases(tmp_path, hints=ReadOptions(class_level=2))
    assert found.classes == ("COVID-19", "Normal") and {case.patient for case in found.cases} == {None}


def test_arrays_that_are_parts_of_one_mask_are_refused(tmp_path: Path) -> None:
    for n in (1, 2):
        np.save(tmp_path / f"a{n}.npy", noise(n))
        for name in ("liver", "spleen"):
            np.save(tmp_path / f"a{n}_{name}_mask.npy", ONE)
    with pytest.raises(DataError, match=r"several arrays are one mask|are these readers"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("place", "stray"),
    [
        ("{kind}/p{n}/s{n}.png", "masks/p9/s1.png"),
        ("{n}/{kind}/s{n}.png", "9/masks/s1.png"),
        ("train/{kind}/s{n}.png", "test/masks/s1.png"),
    ],
)
def test_a_mask_in_the_folder_of_another_case_is_no_second_mask(tmp_path: Path, place: str, stray: str) -> None:
    for n in range(COUNT):
        save(tmp_path, place.format(kind="images", n=n), noise(n))
        save(tmp_path, place.format(kind="masks", n=n), ONE)
    save(tmp_path, stray, TWO)
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-010" and stray in str(caught.value)


def test_files_of_one_name_that_look_like_masks_are_no_images(tmp_path: Path) -> None:
    """Of the WMH challenge: `pre/FLAIR.nii.gz` and, above it, `wmh.nii.gz`, which no word marks."""
    for number in range(4):
        save(tmp_path / str(number) / "pre", "FLAIR.nii.gz", noise(number))
        save(tmp_path / str(number) / "pre", "T1.nii.gz", noise(9 + number))
        save(tmp_path / str(number), "wmh.nii.gz", disc(8 + number, 9, 4, value=1))
    with pytest.raises(DataError, match=r"(?s)few values, as masks have.*wmh\.nii\.gz \(4\)") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-068" and "--masks" in caught.value.remedy
    images = "**/{id}/pre/{channel}.*"
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks="**/{id}/wmh.*"))
    assert found.has_masks and {len(case.channels) for case in found.cases} == {1}
    alone = find_cases(tmp_path, hints=ReadOptions(images=images))
    assert not alone.has_masks and {len(case.channels) for case in alone.cases} == {1}


def test_patterns_that_leave_every_mask_alone_are_told(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "markups", f"b_{number}.png", noise(number))
        save(tmp_path / "vessel", f"a_{number}_BDP.png", ONE)
        save(tmp_path / "vessel", f"a_{number}_BSS.png", ONE)
    with pytest.raises(DataError, match="3 images have no mask") as caught:
        find_cases(tmp_path, hints=ReadOptions(images="markups/{id}.png", masks="vessel/{id}_{reader}.png"))
    assert caught.value.code in ("DATA-010", "DATA-061")


@pytest.mark.parametrize("by", ["suffix", "nothing"])
def test_folders_of_a_diagnosis_above_the_images_are_no_classes_of_their_masks(tmp_path: Path, by: str) -> None:
    for n in range(2 * COUNT):
        place, name = "glaucoma" if n % 2 else "normal", f"r{n % 3}_Im{n:03}"
        save(tmp_path, f"RIM_images/training_set/{place}/{name}.png", noise(n))
        for word, shown in ({"": ONE} if by == "nothing" else {"-1-Cup-T": CUP, "-1-Disc-T": ONE}).items():
            save(tmp_path, f"RIM_reference_segmentations/{place}/{name}{word}.png", shown)
    found = find_cases(tmp_path)
    assert found.classes == ("glaucoma", "normal") and len(found.cases) == 2 * COUNT
    assert list(found.mask_names.values()) == ([] if by == "nothing" else ["background", "Cup-T", "Disc-T"])


def test_folders_that_tell_classes_of_pixels_name_the_other_flag(tmp_path: Path) -> None:
    build(tmp_path, HABITS["IDRiD"])
    assert "--classes-by suffix" in find_cases(tmp_path).notes[0]
    found = find_cases(tmp_path, hints=ReadOptions(classes_by="suffix"))
    assert list(found.mask_names.values()) == ["background", "EX", "MA"]


LUNGS = (ONE > 0) + 2 * (TWO > 0)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"Infection": CUP > 0, "Lung": LUNGS, "Lung_and_Infection": LUNGS + 2 * (CUP > 0)}, "Lung has 2 values"),
        ({"left": ONE, "right": TWO, "both": ONE | TWO}, "both shows what the others show together"),
    ],
)
@pytest.mark.parametrize("ending", ["png", "nii.gz"])
def test_rivals_are_no_classes(tmp_path: Path, files: dict[str, np.ndarray], why: str, ending: str) -> None:
    masks = {f"{name}_Mask/c{{n}}.{ending}": shown.astype(np.uint8) for name, shown in files.items()}
    build(tmp_path, Habit((f"scans/c{{n}}.{ending}",), masks))
    with pytest.raises(DataError, match=why) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-011"
    ways = re.findall("--images '(.*?)' --masks '(.*?)'", caught.value.remedy)
    assert len(ways) == 3
    for (images, patterns), name in zip(ways, sorted(files), strict=True):
        found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=patterns))
        assert pairing(found) == {
            str(tmp_path / f"scans/c{n}.{ending}"): {str(tmp_path / f"{name}_Mask/c{n}.{ending}")}
            for n in range(1, COUNT + 1)
        }
    assert find_cases(tmp_path, hints=ReadOptions(classes_by="folder")).mask_names


def test_readers_of_one_class_are_asked_about_and_can_be_said(tmp_path: Path) -> None:
    """Letters of a diagnosis in the folders, two readers of vessels, discs of some: nothing of it is a class."""
    second = VESSELS & ~disc(12, 8, 1)
    for kind in "acd":
        for n in range(COUNT):
            name = f"aria_{kind}_{n}_{n + 3}"
            save(tmp_path, f"aria_{kind}_markups/{name}.tif", noise(n))
            save(tmp_path, f"aria_{kind}_markup_vessel/{name}_BDP.tif", VESSELS)
            save(tmp_path, f"aria_{kind}_markup_vessel/{name}_BSS.tif", second)
            if kind != "a":
                save(tmp_path, f"aria_{kind}_markupdiscfovea/{name}_dfs.tif", TWO)
    with pytest.raises(DataError, match=r"those of one name lie on one another .*are these readers") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-064" and "{id}_{reader}" in caught.value.remedy
    said = ReadOptions(images="aria_*_markups/{id}.tif", masks="aria_*_vessel/{id}_{reader}.tif")
    found = find_cases(tmp_path, hints=said)
    assert {len(case.masks) for case in found.cases} == {2} and len(found.cases) == 3 * COUNT
    assert all(case.masks[0].endswith(f"{case.id}_BDP.tif") for case in found.cases)


def test_an_id_reaches_as_far_as_that_of_an_image(tmp_path: Path) -> None:
    for name in ("a", "a_1", "b_1"):
        save(tmp_path, f"i/{name}.png", noise(len(name)))
        for word in ("cup", "hard_exudate"):
            save(tmp_path, f"m/{name}_{word}.png", CUP if word == "cup" else TWO)
    found = find_cases(tmp_path, hints=ReadOptions(images="i/{id}.png", masks="m/{id}_{class}.png"))
    assert list(found.mask_names.values()) == ["background", "cup", "hard_exudate"]
    assert {case.id: len(mask_parts(case.masks[0])) for case in found.cases} == {"a": 2, "a_1": 2, "b_1": 2}


def classes_of_files(folder: Path, **shown: np.ndarray) -> DiscoveredDataset:
    for number in range(COUNT):
        save(folder, f"images/{number}.png", noise(number))
        for name, mask in shown.items():
            save(folder, f"masks/{name}/{number}.png", mask)
    return find_cases(folder, hints=ReadOptions(classes_by="folder"))


def test_what_lies_in_files_of_several_classes_is_told(tmp_path: Path) -> None:
    """Attributes of ISIC 2018 overlap, and a pixel has one class; of files that are apart nothing is said."""
    both = classes_of_files(tmp_path / "over", network=disc(12, 10, 5), streaks=disc(12, 14, 5))
    (note,) = (note for note in both.notes if "lies in files of several classes" in note)
    over = np.stack([disc(12, 10, 5), disc(12, 14, 5)]) > 0
    assert note.startswith(f"{over.all(0).sum() / over.any(0).sum():.0%} of what is drawn")
    apart = classes_of_files(tmp_path / "apart", liver=ONE, spleen=TWO)
    assert not any("several classes" in note or "inverted" in note for note in apart.notes)


@pytest.mark.parametrize("hints", [ReadOptions(), ReadOptions(classes_by="folder")])
def test_files_of_classes_that_are_inverted_are_refused_and_never_readers(tmp_path: Path, hints: ReadOptions) -> None:
    """PALM draws in black on white, and what surrounds small objects is nearly alike."""
    for number in range(COUNT):
        save(tmp_path, f"images/{number}.png", noise(number))
        for name, mask in (("disc", ONE), ("atrophy", TWO)):
            save(tmp_path, f"masks/{name}/{number}.png", 255 - mask)
    with pytest.raises(DataError, match="100% of the files of classes are filled along the rim") as caught:
        find_cases(tmp_path, hints=hints)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert {Path(case.masks[0]).parent.name for case in found.cases} <= {"disc", "atrophy"}
    assert len(found.cases) == COUNT


@pytest.mark.parametrize("place", ["p{n}/t2", "t2_p{n}"])
def test_names_before_the_word_for_a_reader_are_classes(tmp_path: Path, place: str) -> None:
    """Prostate158: anatomy and tumour are drawn by one reader, and are not readers of one thing."""
    for number in range(COUNT):
        save(tmp_path, f"{place.format(n=number)}.nii.gz", noise(number))
        for name, mask in (("anatomy", VIEW), ("tumor", ONE)):
            save(tmp_path, f"{place.format(n=number)}_{name}_reader1.nii.gz", mask)
    with pytest.raises(DataError, match=r"before the word for a reader \(anatomy, tumor\)") as caught:
        find_cases(tmp_path)
    (images, masks) = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    assert masks.endswith("_{class}_reader1.nii.gz")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert list(found.mask_names.values()) == ["background", "anatomy", "tumor"]
    assert len({case.volume for case in found.cases}) == COUNT


def test_names_behind_the_word_for_a_reader_are_readers(tmp_path: Path) -> None:
    for number in range(COUNT):
        save(tmp_path, f"images/{number}.png", noise(number))
        for name, row in (("smith", 12), ("jones", 13)):
            save(tmp_path, f"masks/{number}_reader_{name}.png", disc(row, 12, 6))
    assert {len(case.masks) for case in find_cases(tmp_path).cases} == {2}


def test_a_class_that_surrounds_the_others_is_told(tmp_path: Path) -> None:
    found = classes_of_files(tmp_path, behind=255 - ONE, disc=ONE)
    assert any(note.startswith("50% of the files of classes are filled along the rim") for note in found.notes)


def test_a_class_in_a_pattern_of_masks_alone_is_one(tmp_path: Path) -> None:
    for number in range(COUNT):
        save(tmp_path, f"input/ISIC_{number}.png", noise(number))
        for name, mask in (("globules", ONE), ("streaks", TWO)):
            save(tmp_path, f"truth/ISIC_{number}_attribute_{name}.png", mask)
    found = find_cases(tmp_path, hints=ReadOptions(masks="truth/{id}_attribute_{class}.png"))
    assert found.mask_names == {0: "background", 1: "globules", 2: "streaks"} and len(found.cases) == COUNT
    read = find_cases(tmp_path, hints=ReadOptions(masks="truth/{id}_attribute_{reader}.png"))
    assert {len(case.masks) for case in read.cases} == {2}


def test_masks_that_are_outlines_are_told(tmp_path: Path) -> None:
    """HC18 draws a line around the head; a ring of muscle, a filled object and vessels are none."""
    rows, columns = np.mgrid[:64, :64]
    radius = np.hypot(rows - 32, columns - 32)
    shown = {
        "line": np.abs(radius - 20) < 0.8,
        "ring": np.abs(radius - 18) < 4,
        "filled": radius < 20,
        "vessels": (rows % 16 == 8) | (columns % 16 == 8),
    }
    for name, mask in shown.items():
        for number in range(COUNT):
            picture = np.random.default_rng(number).integers(20, 230, (64, 64)).astype(np.uint8)
            save(tmp_path / name, f"images/{number}.png", picture)
            save(tmp_path / name, f"masks/{number}.png", np.where(mask, 255, 0).astype(np.uint8))
    told = {name: any("are outlines" in note for note in find_cases(tmp_path / name).notes) for name in shown}
    assert told == {"line": True, "ring": False, "filled": False, "vessels": False}


def outlined(folder: Path, *, gaps: int, value: int = 255) -> list[np.ndarray]:
    """Pictures with a line around a disc, of which `gaps` have a gap; what is meant of each."""
    rows, columns = np.mgrid[:64, :64]
    radius = np.hypot(rows - 32, columns - 32)
    meant = list[np.ndarray]()
    for number in range(COUNT):
        save(folder, f"{number}_HC.png", np.random.default_rng(number).integers(20, 230, (64, 64)).astype(np.uint8))
        line = np.abs(radius - 20) < 0.8
        line[30:34, 32:] &= number >= gaps
        save(folder, f"{number}_HC_Annotation.png", np.where(line, value, 0).astype(np.uint8))
        meant.append(line if number < gaps else radius < 20.8)
    return meant


@pytest.mark.parametrize("value", [1, 255])
def test_outlines_are_filled_where_a_person_says_so(tmp_path: Path, value: int) -> None:
    """The note names the flag also where a line is not closed, and what is filled is kept as what was said."""
    meant = outlined(tmp_path, gaps=1, value=value)
    assert any("--fill-outlines fills them" in note for note in find_cases(tmp_path).notes)
    found = find_cases(tmp_path, hints=ReadOptions(fill_outlines=True))
    assert found.reading == {"fill_outlines": True}
    told = next(note for note in found.notes if "filled in 4 masks" in note)
    assert "the lines of 1 are not closed and stay lines: 0_HC_Annotation.png" in told and str(tmp_path) not in told
    assert not any("are outlines" in note for note in found.notes)
    for case, area in zip(found.cases, meant, strict=True):
        np.testing.assert_array_equal(read_mask(case.masks[0]), np.where(area, value, 0))


def test_lines_that_are_not_closed_are_refused(tmp_path: Path) -> None:
    outlined(tmp_path, gaps=COUNT)
    with pytest.raises(DataError, match=r"the lines of no mask are closed, of 4 masks") as refused:
        find_cases(tmp_path, hints=ReadOptions(fill_outlines=True))
    assert "leave --fill-outlines out" in refused.value.remedy


def test_outlines_of_classes_are_filled_each(tmp_path: Path) -> None:
    """Of a cup in its disc both stay, in a file for each and in one of values."""
    rows, columns = np.mgrid[:64, :64]
    radius = np.hypot(rows - 32, columns - 32)
    lines = {"disc": np.abs(radius - 20) < 0.8, "cup": np.abs(radius - 10) < 0.8}
    for number in range(COUNT):
        picture = np.random.default_rng(number).integers(20, 230, (64, 64)).astype(np.uint8)
        for folder in ("files", "values"):
            save(tmp_path / folder, f"images/{number}.png", picture)
        for name, line in lines.items():
            save(tmp_path / "files", f"masks/{number}_{name}.png", np.where(line, 255, 0).astype(np.uint8))
        both = np.where(lines["cup"], 1, np.where(lines["disc"], 2, 0)).astype(np.uint8)
        save(tmp_path / "values", f"masks/{number}.png", both)
    meant = np.where(radius < 10.8, 1, np.where(radius < 20.8, 2, 0))
    for folder in ("files", "values"):
        mask = find_cases(tmp_path / folder, hints=ReadOptions(fill_outlines=True)).cases[0].masks[0]
        np.testing.assert_array_equal(read_mask(mask), meant)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_cup_that_all_but_fills_its_disc_is_a_class(tmp_path: Path, shift: int) -> None:
    """RIM-ONE; other names may be those of readers."""
    for n in range(COUNT):
        for folder, names in (("rim", ("cup", "disc")), ("open", ("anna", "otto"))):
            save(tmp_path / folder, f"images/g{n}.png", noise(n))
            for name, radius in zip(names, (8, 9), strict=True):
                save(tmp_path / folder, f"masks/g{n}_{name}.png", disc(12, 12 + shift, radius))
    assert set(find_cases(tmp_path / "rim").mask_names.values()) == {"background", "cup", "disc"}
    with pytest.raises(DataError, match="are these readers"):
        find_cases(tmp_path / "open")


@pytest.mark.parametrize("place", ["masks/g{n}_expert{r}_{c}", "masks/g{n}_Exp{r}_{c}", "expert{r}/{c}/g{n}"])
def test_files_of_classes_of_readers_are_refused_with_patterns(tmp_path: Path, place: str) -> None:
    """A reader for each file would be six; each pattern that is shown reads the readers of a class."""
    for n in range(COUNT):
        save(tmp_path, f"images/g{n}.png", noise(n))
        for r in (1, 2, 3):
            for c, radius in (("cup", 4), ("disc", 8)):
                save(tmp_path, f"{place.format(n=n, r=r, c=c)}.png", disc(11 + r % 2, 12, radius))
    with pytest.raises(DataError, match="each of several readers has files of several names") as refused:
        find_cases(tmp_path)
    ways = re.findall(r"--images '(images/[^']+)' --masks '([^']+)'", refused.value.remedy)
    assert len(ways) == 2
    for images, masks in ways:
        found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
        assert [len(case.masks) for case in found.cases] == [3] * COUNT


def test_short_words_for_readers_count_with_a_number_alone(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path / "read", f"images/Im{n}.png", noise(n))
        save(tmp_path / "named", f"images/exp{n}.png", noise(n))
        save(tmp_path / "named", f"masks/exp{n}.png", ONE)
        for r in range(1, 6):
            save(tmp_path / "read", f"masks/Im{n}-Exp{r}-Disc.png", disc(11 + r % 2, 12, 7))
    assert [len(case.masks) for case in find_cases(tmp_path / "read").cases] == [5] * COUNT
    assert [len(case.masks) for case in find_cases(tmp_path / "named").cases] == [1] * COUNT


def test_a_folder_for_each_image_among_the_masks_says_nothing(tmp_path: Path) -> None:
    """DRISHTI-GS: the disc and the cup lie in the folder of their image, below one for their kind."""
    for n in range(COUNT):
        save(tmp_path, f"Images/g_{n:03}.png", noise(n))
        save(tmp_path, f"GT/g_{n:03}/SoftMap/g_{n:03}_ODsegSoftmap.png", disc(12, 12, 8))
        save(tmp_path, f"GT/g_{n:03}/SoftMap/g_{n:03}_cupsegSoftmap.png", disc(12, 12, 4))
    found = find_cases(tmp_path)
    assert set(found.mask_names.values()) == {"background", "ODsegSoftmap", "cupsegSoftmap"}


def test_folders_of_one_meaning_among_the_masks_say_nothing(tmp_path: Path) -> None:
    """DRISHTI-GS as it is divided: the folder of masks is called otherwise in each part."""
    for part, home in (("Training", "GT"), ("Test", "Test_GT")):
        for n in range(COUNT):
            name = f"{part[:2]}_{n:03}"
            save(tmp_path, f"{part}/Images/{name}.png", noise(n))
            save(tmp_path, f"{part}/{home}/{name}/SoftMap/{name}_ODsegSoftmap.png", disc(12, 12, 8))
            save(tmp_path, f"{part}/{home}/{name}/SoftMap/{name}_cupsegSoftmap.png", disc(12, 12, 4))
    found = find_cases(tmp_path)
    assert set(found.mask_names.values()) == {"background", "ODsegSoftmap", "cupsegSoftmap"}


def test_patterns_with_several_ids_make_no_classes_of_numbers(tmp_path: Path) -> None:
    """Cell Tracking Challenge: the numbers of frames come again in each sequence."""
    for sequence in ("01", "02"):
        for n in range(COUNT):
            save(tmp_path, f"{sequence}/t{n:03}.tif", noise(n))
            save(tmp_path, f"{sequence}_ST/SEG/man_seg{n:03}.tif", ONE)
    hints = ReadOptions(images="{id}/t{id}.tif", masks="{id}_ST/SEG/man_seg{id}.tif")
    found = find_cases(tmp_path, hints=hints)
    assert len(found.cases) == 2 * COUNT and not found.mask_names


def sequences(root: Path, word: str = "gd") -> None:
    """Three sequences of each patient, and the truth in a folder beside theirs, which no word marks."""
    for n in range(1, 5):
        for channel in ("C0", "DE", "T2"):
            save(root, f"MyoPS 2020/train25/training_10{n}_{channel}.nii.gz", noise(n))
            save(root, f"MyoPS 2020/test20/test_20{n}_{channel}.nii.gz", noise(n + 9))
        save(root, f"MyoPS 2020/train25_myops_{word}/training_10{n}_{word}.nii.gz", ONE.astype(np.int16) * 2)


def test_truth_of_several_sequences_by_its_values(tmp_path: Path) -> None:
    """MyoPS 2020: `gd` is no word for masks; the truth of the test is encrypted."""
    sequences(tmp_path)
    for n in range(1, 5):
        save(tmp_path, f"MyoPS 2020/EvaluateByYourself/test_data_gd/test_20{n}_gdencrypt.nii.gz", noise(n + 20))
    found = find_cases(tmp_path)
    assert found.channels == ("C0", "DE", "T2") and len({case.volume for case in found.cases}) == 4
    assert all("train25_myops_gd" in case.masks[0] for case in found.cases)
    assert any("called encrypted, not used" in note and "_gdencrypt.nii.gz (4)" in note for note in found.notes)
    assert any("without any mask, not used" in note and "test20/" in note for note in found.notes)


def test_folders_of_few_values_below_a_common_one_are_no_classes(tmp_path: Path) -> None:
    """What the error proposes works as it is typed."""
    for n in range(1, 5):
        save(tmp_path, f"set/scans/p{n}/scan_p{n}.nii.gz", noise(n))
        save(tmp_path, f"set/drawings/p{n}/tumour{n}.nii.gz", disc(6, 6, 3, 1))
    with pytest.raises(DataError, match=r"(?s)1 of 2 folders hold pictures of few values.*set/drawings") as caught:
        find_cases(tmp_path)
    hints = proposed(caught.value.remedy)[0]
    found = find_cases(tmp_path, hints=hints)
    assert len({case.volume for case in found.cases}) == 4 and all("drawings" in case.masks[0] for case in found.cases)


def proposed(remedy: str) -> list[ReadOptions]:
    """The patterns that an error proposes, as they would be typed."""
    return [
        ReadOptions(images=images, masks=masks)
        for images, masks in re.findall(r"--images '(.+?)' --masks '(.+?)'", remedy)
    ]


def test_frames_of_sequences_are_no_channels_and_no_readers(tmp_path: Path) -> None:
    """EndoVis 2017: a folder of masks for each instrument, and frames of which those of one side were drawn on."""
    for s, tools in ((1, ("Left_Forceps", "Other")), (2, ("Forceps", "Other")), (3, ("Forceps", "Scissors", "Other"))):
        for n in range(3):
            for side in ("left", "right"):
                save(tmp_path, f"set_{s}/{side}_frames/frame{n:03}.png", noise(100 * s + n))
            for place, tool in enumerate(tools):
                save(tmp_path, f"set_{s}/truth/{tool}_labels/frame{n:03}.png", disc(4 + 7 * place, 9, 3, 20))
    with pytest.raises(DataError, match="18 images have no mask") as caught:
        find_cases(tmp_path)
    assert not {"{channel}", "{reader}"} & set(re.findall(r"\{\w+\}", caught.value.remedy))
    left, right = proposed(caught.value.remedy)
    assert left.images == "set_{id}/left_frames/frame{id}.png" and "/right_frames/" in str(right.images)
    found = find_cases(tmp_path, hints=left)
    assert len(found.cases) == 9 and {"Left_Forceps", "Scissors"} < set(found.mask_names.values())


def test_the_one_folder_with_a_mask_of_every_frame_is_proposed_too(tmp_path: Path) -> None:
    """EndoVis 2017: parts of each instrument, and what each instrument is, in a folder that all sequences have."""
    for s, tools in ((1, ("Left_Forceps", "Other")), (2, ("Forceps", "Other")), (3, ("Forceps", "Scissors"))):
        for n in range(3):
            for side in ("left", "right"):
                save(tmp_path, f"set_{s}/{side}_frames/frame{n:03}.png", noise(100 * s + n))
            for place, tool in enumerate(tools):
                save(tmp_path, f"set_{s}/truth/{tool}_labels/frame{n:03}.png", disc(4 + 7 * place, 9, 3, 20))
            types = disc(4, 9, 3, s) + disc(11, 9, 3, s + 1)
            save(tmp_path, f"set_{s}/truth/Types/frame{n:03}.png", types)
    with pytest.raises(DataError, match="18 images have no mask") as caught:
        find_cases(tmp_path)
    ways = proposed(caught.value.remedy)
    assert [str(way.masks).split("/")[2] for way in ways] == ["{class}"] * 2 + ["Types"] * 2
    found = find_cases(tmp_path, hints=ways[2])
    assert len(found.cases) == 9 and all("truth/Types/" in case.masks[0] for case in found.cases)


def test_each_kind_of_truth_of_a_sequence_is_proposed(tmp_path: Path) -> None:
    """Cell Tracking Challenge: gold truth of some frames, silver truth of all, and markers."""
    for s in ("01", "02"):
        for n in range(COUNT):
            save(tmp_path, f"{s}/t{n:03}.tif", noise(n))
            save(tmp_path, f"{s}_ST/SEG/man_seg{n:03}.tif", ONE)
            save(tmp_path, f"{s}_GT/TRA/man_track{n:03}.tif", CUP)
        save(tmp_path, f"{s}_GT/SEG/man_seg{int(s):03}.tif", ONE)
    with pytest.raises(DataError, match="8 images have no mask") as caught:
        find_cases(tmp_path)
    kinds = {str(hints.masks): hints for hints in proposed(caught.value.remedy)}
    silver = find_cases(tmp_path, hints=kinds.pop("{id}_ST/SEG/man_seg{id}.tif"))
    assert len(silver.cases) == 2 * COUNT
    gold = kinds.pop("{id}_GT/SEG/man_seg{id}.tif")
    few = find_cases(tmp_path, hints=replace(gold, drop_unpaired=True))
    assert len(few.cases) == 2 and not few.classes and {case.patient for case in few.cases} == {"01", "02"}
    assert list(kinds) == ["{id}_GT/TRA/man_track{id}.tif"]


def test_patterns_that_pair_nothing_are_not_proposed(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path, f"images/a{n}.png", noise(n))
        save(tmp_path, f"masks/b{n + 40}.png", ONE)
    with pytest.raises(DataError, match="4 images have no mask") as caught:
        find_cases(tmp_path)
    assert "PLACE/{id}.png" in caught.value.remedy and len(proposed(caught.value.remedy)) == 1


def test_classes_of_images_are_told_with_their_numbers(tmp_path: Path) -> None:
    """Folders of what is no class are seen."""
    for number in range(12):
        save(tmp_path, f"{'Lyon' if number < 8 else 'Bern'}/{number}.png", noise(number))
    assert "classes of images: Lyon (8), Bern (4)" in find_cases(tmp_path).notes
    for number in range(12):
        save(tmp_path / "flat", f"{number}.png", noise(number))
    assert not any("classes of images" in note for note in find_cases(tmp_path / "flat").notes)


def test_of_many_masks_of_a_scan_few_are_read_to_know_what_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TotalSegmentator has 104 volumes of masks for each scan: together they are more than memory holds."""
    organs = {f"organ_{letter}": disc(3 + 2 * place, 12, 1) for place, letter in enumerate("abcdefghij")}
    for number in range(2):
        save(tmp_path, f"s{number}/ct.nii.gz", noise(number))
        for name, mask in organs.items():
            save(tmp_path, f"s{number}/segmentations/{name}.nii.gz", mask)
    read = list[Path]()
    monkeypatch.setattr(rivals, "read_volume", lambda path: (read.append(path), read_volume(path))[1])
    assert len(find_cases(tmp_path).mask_names) == 1 + len(organs)
    assert 0 < len(read) <= 2 * MASKS_COMPARED


def test_bids_masks_are_paired_by_the_entities_of_their_images(tmp_path: Path) -> None:
    """VerSe, and the masks of BIDS derivatives: entities that masks alone have tell no images apart."""
    for number, ending in enumerate(("seg-vert_msk", "dseg", "label-GM_probseg", "T1w_seg-lesion_dseg", "msk")):
        for who in ("sub-01", "sub-02", "sub-03"):
            save(tmp_path, f"{number}/rawdata/{who}/{who}_T1w.nii.gz", noise(number))
            save(tmp_path, f"{number}/derivatives/{who}/{who}_{ending}.nii.gz", disc(12, 12, 3, 1))
        found = find_cases(tmp_path / str(number))
        assert len(found.cases) == 9 and all(f"/{case.patient}_{ending}" in case.masks[0] for case in found.cases)
        assert not found.classes and {case.patient for case in found.cases} == {"sub-01", "sub-02", "sub-03"}
        assert any(f"masks: derivatives/sub-*/sub-*_{ending}.nii.gz (3)" in note for note in found.notes)


def test_a_folder_of_muscles_and_bones_is_a_class(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path, f"{'MSK' if number % 2 else 'abdomen'}/{number}.png", noise(number))
    assert find_cases(tmp_path).classes == ("MSK", "abdomen")


def test_folders_that_differ_by_the_word_for_a_split_are_splits(tmp_path: Path) -> None:
    """`dataset-verse19training` and `dataset-verse19test` became classes."""
    for number, split in enumerate(("training", "validation", "test")):
        who = f"sub-{number}"
        save(tmp_path, f"dataset-verse19{split}/rawdata/{who}/{who}_ct.nii.gz", noise(number))
        save(tmp_path, f"dataset-verse19{split}/derivatives/{who}/{who}_seg-vert_msk.nii.gz", disc(12, 12, 3, 1))
    found = find_cases(tmp_path)
    assert not found.classes and {case.split for case in found.cases} == {"train", "validation", "test"}
    for number in range(2):
        save(tmp_path / "alone", f"{'crash test' if number else 'road'}/{number}.png", noise(number))
    assert find_cases(tmp_path / "alone").classes == ("crash test", "road")


def test_folders_that_divide_a_set_are_no_classes(tmp_path: Path) -> None:
    for number in range(4):
        save(tmp_path / "folds", f"fold{number % 2}/{'ab'[number // 2]}/{number}.png", noise(number))
        save(tmp_path / "sites", f"Center_0{number % 2}/{number}.png", noise(number))
    found = find_cases(tmp_path / "sites")
    assert not found.classes
    assert any("neither classes nor patients: Center_00, Center_01; --class-level 1" in note for note in found.notes)
    assert find_cases(tmp_path / "sites", hints=ReadOptions(class_level=1)).classes == ("Center_00", "Center_01")
    assert find_cases(tmp_path / "folds").classes == ("a", "b")


def ms_case(folder: Path, site: str, who: str, *, lesions: tuple[int, ...] = (5, 6)) -> None:
    """A case of MSSEG-2016."""
    for number, channel in enumerate(("FLAIR", "T1")):
        save(folder, f"Training/{site}/{who}/Preprocessed_Data/{channel}_preprocessed.nii.gz", noise(number))
    for reader, size in enumerate(lesions, start=1):
        save(folder, f"Training/{site}/{who}/Masks/ManualSegmentation_{reader}.nii.gz", disc(12, 12, size, 1))
    save(folder, f"Training/{site}/{who}/Masks/Consensus.nii.gz", disc(12, 12, 3, 1))
    save(folder, f"Training/{site}/{who}/Masks/Brain_Mask.nii.gz", disc(12, 12, 9, 1))


def test_channels_and_readers_in_the_folder_of_each_case(tmp_path: Path) -> None:
    for site in ("Center_01", "Center_07"):
        for who in ("Patient_01", "Patient_02"):
            ms_case(tmp_path, site, who)
    found = find_cases(tmp_path)
    assert not found.classes and found.channels == ("FLAIR_preprocessed", "T1_preprocessed")
    assert {case.patient for case in found.cases} == {
        f"{site}/{who}" for site in ("Center_01", "Center_07") for who in ("Patient_01", "Patient_02")
    }
    assert {(len(case.channels), len(case.masks)) for case in found.cases} == {(1, 2)}
    assert all("ManualSegmentation" in mask for case in found.cases for mask in case.masks)
    assert any("not used: 8 (*/Masks/*Brain_Mask, */Masks/*Consensus)" in note for note in found.notes)
    assert {case.volume for case in found.cases if "Center_01" in case.image} == {
        "Center_01_Patient_01",
        "Center_01_Patient_02",
    }
    taught = find_cases(tmp_path, hints=ReadOptions(images_only=True, channels=found.channels))
    assert len({case.volume or case.id for case in taught.cases}) == 4 and len(taught.cases[0].channels) == 1


def test_persons_of_one_number_at_several_sites_are_several(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path, f"site{number % 2}/patient{number // 4}/{number}.png", noise(number))
    assert {case.patient for case in find_cases(tmp_path).cases} == {
        "site0/patient0", "site0/patient1", "site1/patient0", "site1/patient1"
    }  # fmt: skip
    for number in range(4):
        save(tmp_path / "unique", f"site{number % 2}/patient{number}/{number}.png", noise(number))
    assert {case.patient for case in find_cases(tmp_path / "unique").cases} == {f"patient{n}" for n in range(4)}


def test_the_patterns_of_cases_that_are_folders_work_as_they_stand(tmp_path: Path) -> None:
    """With a folder of raw images beside, nobody can know which are meant."""
    for site in ("Center_01", "Center_07"):
        for who in ("Patient_01", "Patient_02"):
            ms_case(tmp_path, site, who)
            save(tmp_path, f"Training/{site}/{who}/Raw_Data/T1.nii.gz", noise(3))
    with pytest.raises(DataError, match="have no mask") as caught:
        find_cases(tmp_path)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    assert images == "**/{id}/{id}/Preprocessed_Data/{channel}_preprocessed.nii.gz"
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len({case.volume for case in found.cases}) == 4 and found.channels == ("FLAIR", "T1")
    assert {(len(case.channels), len(case.masks)) for case in found.cases} == {(1, 2)}
    for number in range(3):
        save(tmp_path / "flat", f"train/images/a{number}.png", noise(number))
        save(tmp_path / "flat", f"train/masks/b{number}.png", ONE)
        save(tmp_path / "flat", f"val/images/c{number}.png", noise(number))
        save(tmp_path / "flat", f"val/masks/d{number}.png", ONE)
    with pytest.raises(DataError, match=r"'PLACE/\{id\}"):
        find_cases(tmp_path / "flat")


def test_a_consensus_beside_readers_is_no_reader(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path, f"images/{number}.png", noise(number))
        save(tmp_path, f"masks/{number}_manual1.png", disc(12, 12, 5))
        save(tmp_path, f"masks/{number}_manual2.png", disc(12, 12, 6))
        save(tmp_path, f"masks/{number}_consensus.png", disc(12, 12, 5))
    found = find_cases(tmp_path)
    assert {len(case.masks) for case in found.cases} == {2}
    assert any("beside those of readers, not used: 3" in note for note in found.notes)
    for number in range(3):  # what is numbered lies beside one another: parts
        save(tmp_path, f"masks/{number}_manual2.png", disc(2, 2, 2))
    with pytest.raises(DataError, match="some have names, and others none"):
        find_cases(tmp_path)


def test_sequences_of_a_session_on_different_grids_say_which_to_take(tmp_path: Path) -> None:
    """ISLES 2022: BIDS sorts the files of a session by how they were made."""
    for number in range(3):
        who = f"sub-{number}"
        for folder, kind, size in (("dwi", "dwi", SIDE), ("dwi", "adc", SIDE), ("anat", "flair", SIDE // 2)):
            save(tmp_path, f"{who}/ses-1/{folder}/{who}_ses-1_{kind}.nii.gz", noise(number)[:size, :size])
        save(tmp_path, f"derivatives/{who}/ses-1/{who}_ses-1_msk.nii.gz", ONE)
    with pytest.raises(DataError, match="lie on different grids") as caught:
        find_cases(tmp_path)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert {case.patient for case in found.cases} == {"sub-0", "sub-1", "sub-2"}
    for path in tmp_path.rglob("*_flair.nii.gz"):
        path.unlink()
    assert find_cases(tmp_path).channels == ("adc", "dwi")
    for number in range(3):
        who = f"sub-{number}"
        save(tmp_path, f"{who}/ses-1/anat/{who}_ses-1_flair.nii.gz", noise(number))
    found = find_cases(tmp_path)
    taught = find_cases(tmp_path, hints=ReadOptions(images_only=True, channels=found.channels))
    assert len(found.cases[0].channels) == 2 and len({case.volume for case in taught.cases}) == 3


@pytest.mark.parametrize("labels", ["{who}/seg", "labels/{who}"])
@pytest.mark.parametrize("channel", ["{who}/{kind}", "images/{who}_{kind}"])
def test_channels_on_different_grids_say_which_to_take(tmp_path: Path, channel: str, labels: str) -> None:
    """Channels that go by their folder, or by their names, with masks beside them or elsewhere."""
    for who in ("p1", "p2", "p3"):
        for kind, size in (("t1", SIDE), ("flair", SIDE // 2)):
            save(tmp_path, f"{channel.format(who=who, kind=kind)}.nii.gz", noise(int(who[1]))[:size, :size])
        save(tmp_path, f"{labels.format(who=who)}.nii.gz", disc(12, 12, 3, 1))
    with pytest.raises(DataError) as refused:
        find_cases(tmp_path)
    ways = re.findall(r"--images '([^']+)' --masks '([^']+)'", refused.value.remedy or "")
    assert any("t1" in images for images, _ in ways)
    for images, masks in ways:  # those of the other sequence lie on another grid than the masks, which is said later
        if "t1" in images:
            found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
            assert len({case.volume for case in found.cases}) == 3
            assert all(re.search(r"[_/]t1\.nii", case.image) and len(case.masks) == 1 for case in found.cases)


def test_files_of_few_values_in_the_folder_of_each_case_are_told_with_patterns_that_work(tmp_path: Path) -> None:
    """The white matter hyperintensities of MICCAI 2017."""
    for site in ("Utrecht", "Lyon"):
        for number in range(2):
            save(tmp_path, f"{site}/{number}/pre/FLAIR.nii.gz", noise(number))
            save(tmp_path, f"{site}/{number}/pre/T1.nii.gz", noise(number))
            save(tmp_path, f"{site}/{number}/wmh.nii.gz", disc(12, 12, 4, 1))
    with pytest.raises(DataError, match="files that come again in many folders have few values") as caught:
        find_cases(tmp_path)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len({case.volume for case in found.cases}) == 4 and found.channels == ("FLAIR", "T1")


def test_persons_of_one_number_in_several_folders_are_told(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path, f"{'ab'[number % 2]}/patient{number // 4}/{number}.png", noise(number))
    found = find_cases(tmp_path)
    assert any("of one name in several folders, taken for one person: 2, else --group-by parent" in note
               for note in found.notes)  # fmt: skip
    assert len({case.patient for case in find_cases(tmp_path, hints=ReadOptions(group_by="parent")).cases}) == 4
    for number in range(8):
        save(tmp_path / "visits", f"patient{number // 4}/visit{number % 2}/{number}.png", noise(number))
    assert not any("several folders" in note for note in find_cases(tmp_path / "visits").notes)


def test_letters_in_names_make_no_classes(tmp_path: Path) -> None:
    """ARIA: `aria_a_1_3.tif`, where a, c and d are groups of patients: a folder, a table or a flag makes classes."""
    for group, number in ((group, number) for group in "acd" for number in range(4)):
        name = f"aria_{group}_{number}_{number + 2}"
        save(tmp_path, f"images/{name}.tif", noise(number))
        for reader in ("BDP", "BSS"):
            save(tmp_path, f"vessel/{name}_{reader}.tif", disc(8 + number, 12, 4))
    found = find_cases(tmp_path, hints=ReadOptions(images="images/{id}.tif", masks="vessel/{id}_{reader}.tif"))
    assert found.classes == () and not found.mask_names and {len(case.masks) for case in found.cases} == {2}


def atlas(number: int) -> np.ndarray:
    """A volume of 40 structures, with values that are not consecutive."""
    patches = np.kron(np.arange(36).reshape(6, 6), np.ones((4, 4), int))
    return np.where(patches > 1, 2 * patches + 21 + number % 2, 0)


def test_structures_of_an_atlas_are_masks_whatever_word_all_names_have(tmp_path: Path) -> None:
    """LPBA40."""
    for number in range(4):
        start = f"delineation_space/S0{number}/S0{number}.delineation"
        save(tmp_path, f"{start}.skullstripped.nii.gz", noise(number))
        save(tmp_path, f"{start}.structure.label.nii.gz", atlas(number))
    found = find_cases(tmp_path)
    assert len({case.volume for case in found.cases}) == 4
    assert all("skullstripped" in case.image and "structure.label" in case.masks[0] for case in found.cases)
    assert not found.classes and found.patients == 4


def test_masks_pair_with_the_images_beside_them_whatever_word_these_end_in(tmp_path: Path) -> None:
    """CrossMoDA, whose images of another sequence have no masks."""
    for number in range(3):
        save(tmp_path, f"a/source_training/c_{number}_ceT1.nii.gz", noise(number))
        save(tmp_path, f"a/source_training/c_{number}_Label.nii.gz", ONE // 255)
        save(tmp_path, f"a/target_training/c_{number + 10}_hrT2.nii.gz", noise(number + 9))
    found = find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    pairs = {tuple(file.split("/c_")[1].split("_")[0] for file in (case.image, *case.masks)) for case in found.cases}
    assert pairs == {("0", "0"), ("1", "1"), ("2", "2")}
    assert not found.classes


def test_folders_that_are_persons_by_the_names_in_them_are_no_classes(tmp_path: Path) -> None:
    for number in range(6):
        for kind in ("one", "two"):
            (path := tmp_path / f"S0{number}/S0{number}.{kind}.nii.gz").parent.mkdir(exist_ok=True)
            content = noise(2 * number + (kind == "two")).astype(np.int16)
            write_volume(path, np.repeat(content[..., None], 16, axis=2), AXIAL)
    found = find_cases(tmp_path)
    assert not found.classes and found.patients == 6
    assert [note for note in found.notes if "--class-level 1 makes classes of their folders" in note]


@pytest.mark.parametrize("kind", [".nii.gz", ".png"])
def test_masks_in_one_folder_of_images_in_several_parts_are_found_by_their_pixels(tmp_path: Path, kind: str) -> None:
    """VESSEL12: downloads in parts, the masks of all in one folder, and those of further images in another one."""
    for number in range(1, 9):
        part = "01-04" if number < 5 else "05-08"
        save(tmp_path, f"SCANS12_{part}/SCANS12_{number:02}{kind}", noise(number))
        save(tmp_path, f"SCANS12_01-08_Lungregions/SCANS12_{number:02}{kind}", ONE)
    for number in (21, 22, 23):
        save(tmp_path, f"SCANS12_Example/Scans/SCANS12_{number}{kind}", noise(number))
        save(tmp_path, f"SCANS12_Example/Lungregions/SCANS12_{number}{kind}", ONE)
    found = find_cases(tmp_path)
    assert len({case.volume or case.id for case in found.cases}) == 11
    assert all(len(case.masks) == 1 and "Lungregions" in case.masks[0] for case in found.cases)
    assert set(found.mask_names.values()) <= {"background"}


@pytest.mark.parametrize("val", ["Val", "Va"])
def test_short_words_behind_images_and_labels_are_splits(tmp_path: Path, val: str) -> None:
    """WORD without `dataset.json`: cases for validation and testing were divided anew."""
    for part, numbers in (("Tr", range(6)), (val, range(6, 8)), ("Ts", range(8, 10))):
        for number in numbers:
            save(tmp_path, f"images{part}/w_{number}.nii.gz", noise(number))
            save(tmp_path, f"labels{part}/w_{number}.nii.gz", ONE // 255)
    found = find_cases(tmp_path)
    splits = {case.volume: case.split for case in found.cases}
    assert splits == {f"w_{n}": "train" if n < 6 else "validation" if n < 8 else "test" for n in range(10)}
    assert any(note.startswith("splits that the source brings: train") for note in found.notes)
    assert [case.split for case in split_cases(found.cases)] == [case.split for case in found.cases]


def test_a_mask_beside_one_with_a_word_more_is_told_with_patterns_that_work(tmp_path: Path) -> None:
    """HVSMR-2.0: `pat0_cropped_seg_endpoints` marks points, and is neither a mask nor an image."""
    for n in range(COUNT):
        for name, content in (("", noise(n)), ("_seg", ONE // 255), ("_seg_endpoints", CUP // 255)):
            save(tmp_path, f"cropped/pat{n}_cropped{name}.nii.gz", content)
    with pytest.raises(DataError, match="what they are is not clear") as refused:
        find_cases(tmp_path)
    ways = re.findall(r"--images '([^']+)' --masks '([^']+)'", refused.value.remedy)
    assert ways == [("cropped/{id}.nii.gz", f"cropped/{{id}}_{name}.nii.gz") for name in ("seg", "seg_endpoints")]
    said = [(images, masks, masks) for images, masks in ways] + [(None, ways[0][1], ways[0][1])]
    for images, masks, kind in said:
        found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
        drawn = {re.sub(r".*_cropped|::.*", "", mask) for case in found.cases for mask in case.masks}
        assert drawn == {kind.removeprefix("cropped/{id}")} and not found.unpaired
        assert {case.volume for case in found.cases} == {f"pat{n}_cropped" for n in range(COUNT)}
    note = "files called after a mask, with a word behind, not used: cropped/pat*_cropped_seg_endpoints.nii.gz (4)"
    assert note in found.notes


def test_an_image_without_a_mask_is_not_passed_over_beside_these(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path, f"{n}_photo.png", noise(n))
        save(tmp_path, f"{n}.png", ONE) if n else None
    hints = ReadOptions(images="{id}_photo.png", masks="re:(?P<id>[0-9]+)[.]png")
    with pytest.raises(DataError, match="1 image has no mask"):
        find_cases(tmp_path, hints=hints)
    assert len(find_cases(tmp_path, hints=replace(hints, drop_unpaired=True)).cases) == COUNT - 1


def test_what_no_pattern_fits_is_told(tmp_path: Path) -> None:
    for n in range(COUNT):
        save(tmp_path, f"a/{n}.png", noise(n))
        save(tmp_path, f"b/{n}.png", noise(n + 9))
        save(tmp_path, f"masks/{n}.png", ONE)
        save(tmp_path, f"masks/{n}_gt.png", TWO)
    for hints, told in (
        (
            ReadOptions(images="a/{id}.png", masks="masks/{id}_gt.png"),
            "that no pattern fits, not used: 8 (b (4), masks (4))",
        ),
        (ReadOptions(images="a/{id}.png"), "that no pattern fits, not used: 12 (masks (8), b (4))"),
    ):
        found = find_cases(tmp_path, hints=hints)
        assert len(found.cases) == COUNT and f"images or volumes {told}" in found.notes
    for n in range(COUNT):
        (tmp_path / f"b/{n}.png").unlink()
    found = find_cases(tmp_path, hints=ReadOptions(masks="masks/{id}_gt.png"))
    assert "images or volumes called masks that do not fit --masks, not used: 4 (masks (4))" in found.notes


def test_folders_of_channels_beside_folders_of_classes_are_proposed_as_such(tmp_path: Path) -> None:
    """OCTA-500: every way that is told takes no picture for a mask, and one takes all channels and classes."""
    truth = {"GT_Artery": ONE, "GT_Vein": TWO, "GT_FAZ": disc(18, 5, 3)}
    for n in range(COUNT):
        for channel in ("OCT(FULL)", "OCTA(FULL)", "OCTA(ILM_OPL)"):
            save(tmp_path, f"OCTA_6M/Projection Maps/{channel}/{10001 + n}.bmp", noise(n))
        for name, shows in truth.items():
            save(tmp_path, f"OCTA_6M/{name}/{10001 + n}.bmp", shows)
    with pytest.raises(DataError, match="12 images have no mask") as caught:
        find_cases(tmp_path)
    ways = {(hints.images, hints.masks): find_cases(tmp_path, hints=hints) for hints in proposed(caught.value.remedy)}
    files = [part.locator for found in ways.values() for mask in found.cases[0].masks for part in mask_parts(mask)]
    assert files and all("/GT_" in file for file in files)
    whole = next(found for (images, masks), found in ways.items() if "{channel}" in str(images) and "{class}" in masks)
    assert len(whole.cases) == COUNT and len(whole.cases[0].channels) == 2 and len(whole.mask_names) == 1 + len(truth)


@pytest.mark.parametrize(
    ("image", "mask", "some"),
    [
        ("{n}_Dermoscopic_Image/{n}", "{n}_lesion/{n}_lesion", "{n}_roi/{n}_R{k}_Label{k}"),
        ("photo/{n}", "drawn/{n}_mole", "masks/{n}_{k}"),
    ],
)
def test_a_picture_called_after_each_image_is_its_mask_whatever_some_have_beside(
    tmp_path: Path, image: str, mask: str, some: str
) -> None:
    """PH2: a lesion for each image, and regions of colours for some; each folder holds one image."""
    for number in range(8):
        name = f"IMD{number * 7:03}"
        save(tmp_path / name, f"{image.format(n=name)}.bmp", noise(number))
        save(tmp_path / name, f"{mask.format(n=name)}.bmp", ONE)
        for part in range(number % 3):
            save(tmp_path / name, f"{some.format(n=name, k=part + 1)}.bmp", TWO)
    found = find_cases(tmp_path)
    assert len(found.cases) == 8 and not found.problems and not found.classes
    word = mask[-4:]
    assert all(len(case.masks) == 1 and word in Path(case.masks[0]).name for case in found.cases)
    assert len({case.patient for case in found.cases}) == 8
    assert any("masks that only some images have, not used" in note and "(7)" in note for note in found.notes)


def test_folders_of_one_image_each_are_asked_about_where_nothing_is_drawn(tmp_path: Path) -> None:
    for number in range(8):
        save(tmp_path, f"IMD{number * 7:03}/{number}.png", noise(number))
    assert [problem.code for problem in find_cases(tmp_path).problems] == ["DATA-068"]


THREE_VALUES = np.where(ONE > 0, 128, 0).astype(np.uint8) | CUP


def in_parts_by_name(folder: Path, *, numbered_alike: bool = False) -> Path:
    """REFUGE: the folders of masks of two parts have a name beside the word for masks, those of the third have not."""
    for number in range(2 * COUNT):
        place = "Glaucoma" if number % 2 else "Non-Glaucoma"
        save(folder, f"Training400/{place}/g{number}.png", noise(number))
        save(folder, f"Annotation-Training400/Disc_Cup_Masks/{place}/g{number}.bmp", THREE_VALUES)
        for part, letter, below in (("Validation400", "V", ""), ("Test", "T", "GN"[number % 2] + "/")):
            name = f"{'x' if numbered_alike else letter}{number}"
            save(folder, f"XYZ-{part}/{name}.png", noise(9 + number))
            save(folder, f"XYZ-{part}-GT/Disc_Cup_Masks/{below}{name}.bmp", THREE_VALUES)
    return folder


@pytest.mark.parametrize("numbered_alike", [False, True])
def test_parts_whose_folders_of_masks_have_names_are_read_beside_one_that_is_called_by_words_alone(
    tmp_path: Path, numbered_alike: bool
) -> None:
    found = find_cases(in_parts_by_name(tmp_path, numbered_alike=numbered_alike))
    assert Counter(case.split for case in found.cases) == {"train": 8, "validation": 8, "test": 8}
    assert all(len(case.masks) == 1 for case in found.cases)
    assert all(Path(case.image).stem == Path(case.masks[0]).stem for case in found.cases)
    assert found.classes == ("Glaucoma", "Non-Glaucoma") and not found.mask_names
    assert {case.label for case in found.cases if case.split != "train"} == {None}


def test_images_by_patterns_keep_the_splits_of_their_folders(tmp_path: Path) -> None:
    patterns = ReadOptions(images="**/{id}.png", masks="**/Disc_Cup_Masks/**/{id}.bmp")
    for hints in (patterns, replace(patterns, images=None), ReadOptions(masks="**/{id}.bmp")):
        found = find_cases(in_parts_by_name(tmp_path), hints=hints)
        assert [sum(case.split == name for case in found.cases) for name in ("train", "validation", "test")] == [8] * 3
        assert found.classes == ("Glaucoma", "Non-Glaucoma")


def test_it_is_said_who_named_the_values_of_masks(tmp_path: Path) -> None:
    for number in range(COUNT):
        save(tmp_path, f"images/{number}.png", noise(number))
        save(tmp_path, f"masks/{number}.png", THREE_VALUES)
    said = find_cases(tmp_path, hints=ReadOptions(class_names=("0=background", "128=disc", "255=cup")))
    (tmp_path / "codes.csv").write_text("value,name\n0,background\n128,disc\n255,cup\n")
    for found, who in ((said, "--class-names names the"), (find_cases(tmp_path), "the source names the")):
        findings = inspect(found, list(measure_cases(found.cases))).findings
        assert any(finding.text.startswith(who) for finding in findings)


def test_masks_that_no_image_has_are_not_called_images_without_any(tmp_path: Path) -> None:
    for number in range(COUNT):
        save(tmp_path, f"Training/g{number}.png", noise(number))
        save(tmp_path, f"Annotation-Training/g{number}.bmp", ONE)
        save(tmp_path, f"XYZ-Test/T{number}.png", noise(9 + number))
        save(tmp_path, f"XYZ-Test-GT/drawn_{number * 7 + 30}.bmp", ONE)
    with pytest.raises(DataError, match="4 images have no mask") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-010" and "drawn_30.bmp" in str(caught.value)
