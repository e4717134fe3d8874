import re
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.channels import read_case
from sfumato.data.formats.dicom import drawn as dicom_drawn
from sfumato.data.formats.dicom import series as dicom
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import read_header
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.source import ReadOptions, find_cases
from sfumato.data.source.volumes.gridded import check_channels
from sfumato.errors import DataError

AXIAL = np.diag([1.0, 1, 4, 1])


def scans(folder: Path, *names: str, shape: tuple[int, ...] = (4, 5, 3), affine: np.ndarray = AXIAL) -> Path:
    for name in names:
        path = folder / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_volume(path, np.arange(np.prod(shape)).reshape(shape).astype(np.int16) % 7, affine)
    return folder


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a", "labels/a"),
        ("imagesTr/a", "labelsTr/a"),
        ("a", "a_seg"),
        ("t2", "t2_seg-manual"),
        ("mt1", "mt1_gmseg_goldstandard"),
        ("x/t1w", "x/t1w_label-manual"),
    ],
)
def test_labels_of_volumes(tmp_path: Path, image: str, mask: str) -> None:
    found = find_cases(scans(tmp_path, image, mask))
    name = Path(image).name
    assert [case.id for case in found.cases] == [f"{name}_{plane:03d}" for plane in range(3)]
    assert found.form == "volumes" and found.has_masks
    assert found.cases[2].masks == (f"{tmp_path}/{mask}.nii.gz::axial/2",)
    assert {(case.volume, case.patient) for case in found.cases} == {(name, name)}
    assert np.array_equal(read_case(found.cases[1])[..., 0], read_mask(found.cases[1].masks[0]))


def test_labels_of_different_meaning_are_listed(tmp_path: Path) -> None:
    scans(tmp_path, "t2", "t2_seg", "t2_centerline-manual", "t2s", "t2s_seg")
    with pytest.raises(
        DataError, match=r"1 image has several masks.*\n.*t2\.nii\.gz: t2_centerline-manual\.nii\.gz, t2_seg"
    ) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-064" and "--masks" in str(caught.value)
    (tmp_path / "choice.csv").write_text("image,mask\nt2.nii.gz,t2_seg.nii.gz\n")
    found = find_cases(tmp_path / "choice.csv")
    assert len(found.cases) == 3 and found.cases[0].masks == (f"{tmp_path}/t2_seg.nii.gz::axial/0",)
    scans(tmp_path / "truth", "t2")
    for path in tmp_path.glob("t2?*.nii.gz"):
        path.unlink()
    assert find_cases(tmp_path, masks=tmp_path / "truth").has_masks


def test_labels_belong_to_the_longest_name_that_they_continue(tmp_path: Path) -> None:
    found = find_cases(scans(tmp_path, "t2", "t2_crop", "t2_seg", "t2_crop_seg"))
    assert {(case.volume, Path(case.masks[0].partition("::")[0]).name) for case in found.cases} == {
        ("t2", "t2_seg.nii.gz"),
        ("t2_crop", "t2_crop_seg.nii.gz"),
    }


def test_readers_of_volumes(tmp_path: Path) -> None:
    found = find_cases(scans(tmp_path, "a", "a_seg_1", "a_seg_2"))
    assert [Path(mask.partition("::")[0]).name for mask in found.cases[0].masks] == ["a_seg_1.nii.gz", "a_seg_2.nii.gz"]


def test_volumes_without_partner(tmp_path: Path) -> None:
    scans(tmp_path, "images/a", "images/b", "labels/b", "labels/c")
    with pytest.raises(
        DataError, match=r"1 image has no mask:\n.*a\.nii\.gz\n  1 mask has no image:\n.*c\.nii"
    ) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-010"
    found = find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    assert {case.volume for case in found.cases} == {"b"} and len(found.unpaired) == 2
    scans(tmp_path / "flat", "t2", "t2_seg", "labels")
    with pytest.raises(DataError, match=r"masks of two kinds.*\n.*labels\.nii\.gz and t2_seg\.nii\.gz"):
        find_cases(tmp_path / "flat")


def test_one_axis_for_all_and_another_when_asked(tmp_path: Path) -> None:
    scans(tmp_path, "a", "b")
    scans(tmp_path, "c", affine=np.diag([1.0, 4, 1, 1]))
    found = find_cases(tmp_path)
    assert len(found.cases) == 9 and all("::axial/" in case.image for case in found.cases)
    assert any("cut into axial planes: 3 (9 planes); in 1 of them" in note for note in found.notes)
    assert len(find_cases(tmp_path, hints=ReadOptions(slice_axis="sagittal")).cases) == 12


def test_one_volume_and_a_flat_one(tmp_path: Path) -> None:
    scans(tmp_path, "a", "a_seg")
    assert len(find_cases(tmp_path / "a.nii.gz").cases) == 3
    both = find_cases(tmp_path / "a.nii.gz", masks=tmp_path / "a_seg.nii.gz")
    assert both.has_masks and len(both.cases) == 3
    flat = find_cases(scans(tmp_path / "flat", "x", shape=(4, 5, 1)))
    assert [(case.id, case.volume) for case in flat.cases] == [("x", None)] and read_case(flat.cases[0]).shape == (
        5,
        4,
        1,
    )


def test_components(tmp_path: Path) -> None:
    scans(tmp_path, "a", "b", shape=(4, 5, 3, 2))
    with pytest.raises(DataError, match=r"2 files cannot be used:\n.*a\.nii\.gz has 2 components") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-063" and "--component" in str(caught.value)
    case = find_cases(tmp_path, hints=ReadOptions(component=1)).cases[2]
    assert case.image.endswith("::axial/2/1") and read_case(case).shape == (5, 4, 1)
    with pytest.raises(DataError, match="number 2 was asked for"):
        find_cases(tmp_path, hints=ReadOptions(component=2))


def test_other_grids_and_damaged_files_are_listed(tmp_path: Path) -> None:
    scans(tmp_path, "images/a", "images/b", "labels/b")
    scans(tmp_path, "labels/a", affine=np.diag([1.0, 1, 5, 1]))
    with pytest.raises(DataError, match="another grid") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-012"
    (tmp_path / "images/b.nii.gz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"2 files cannot be used:\n(.*\n)*.*b\.nii\.gz"):
        find_cases(tmp_path)


def test_folders_with_one_volume_each_are_patients(tmp_path: Path) -> None:
    found = find_cases(scans(tmp_path, "anna/t1", "bert/t1"))
    assert {(case.patient, case.label) for case in found.cases} == {("anna", None), ("bert", None)}
    classes = find_cases(scans(tmp_path, "anna/t2", "bert/t2"))
    assert classes.classes == ("anna", "bert")


def test_a_table_of_volumes(tmp_path: Path) -> None:
    scans(tmp_path, "a", "b")
    (tmp_path / "labels.csv").write_text("id,label,patient\na,x,p1\nb,y,p1\n")
    found = find_cases(tmp_path)
    assert found.form == "table" and len(found.cases) == 6 and found.classes == ("x", "y")
    assert {case.patient for case in found.cases} == {"p1"} and {case.volume for case in found.cases} == {"a", "b"}


SERIES = VolumeHeader((4, 5, 3), np.dtype(np.int16), AXIAL, modality="CT")


def test_dicom_series_and_what_segmentations_were_drawn_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("p1/images/1.dcm", "p1/images/2.dcm", "p1/liver.dcm", "p2/3.dcm", "p2/4.dcm", "report.dcm"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    first, second = tmp_path / "p1/images/1.dcm", tmp_path / "p2/3.dcm"
    drawn = SERIES._replace(label=True, modality="SEG", names={1: "Liver"}, reference=(first,))
    listed = [
        dicom.Listed(first, (first, first.with_name("2.dcm")), SERIES, "image"),
        dicom.Listed(tmp_path / "p1/liver.dcm", (tmp_path / "p1/liver.dcm",), drawn, "label"),
        dicom.Listed(second, (second, second.with_name("4.dcm")), SERIES, "image"),
        dicom.Listed(tmp_path / "report.dcm", (tmp_path / "report.dcm",), None, "skipped", ("1 files hold no image",)),
    ]
    monkeypatch.setattr(dicom, "list_volumes", lambda *_: listed)
    monkeypatch.setattr(dicom_drawn, "seg_offset", lambda *_: 1)
    with pytest.raises(DataError, match=rf"1 image has no mask:\n    {second}"):
        find_cases(tmp_path)
    found = find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    assert [(case.id, case.image, case.masks) for case in found.cases] == [
        (f"images_{plane:03d}", f"{first}::axial/{plane}", (f"{tmp_path}/p1/liver.dcm::axial/{plane - 1}",))
        for plane in range(3)
    ]
    assert (found.modality, dict(found.mask_names)) == ("CT", {1: "Liver"}) and "1 files hold no image" in found.notes
    both = [*listed, dicom.Listed(tmp_path / "spine.dcm", (tmp_path / "spine.dcm",), drawn, "label")]
    (tmp_path / "spine.dcm").write_bytes(b"x")
    monkeypatch.setattr(dicom, "list_volumes", lambda *_: both)
    with pytest.raises(DataError, match=r"1\.dcm: liver\.dcm, spine\.dcm") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-064"


def over_time(folder: Path, name: str, drawn: tuple[int, ...], *, frames: int = 4, mask: str = "_gt") -> None:
    """A film of a heart with a mask of as many frames, of which some show something."""
    folder.mkdir(parents=True, exist_ok=True)
    trajectory = np.arange(5 * 6 * 2 * frames).reshape(5, 6, 2, frames).astype(np.int16)
    shows = np.zeros(trajectory.shape, np.uint8)
    for frame in drawn:
        shows[1:3, 1:4, :, frame] = 1 + (frame == 0)
    write_volume(folder / f"{name}_sa.nii.gz", trajectory, AXIAL)
    write_volume(folder / f"{name}_sa{mask}.nii.gz", shows, AXIAL, label=True)


def test_films_are_read_frame_by_frame(tmp_path: Path) -> None:
    for name in ("A", "B"):
        over_time(tmp_path / name, name, (0, 2))
    found = find_cases(tmp_path)
    assert [case.id for case in found.cases[:4]] == ["A_sa_t00_000", "A_sa_t00_001", "A_sa_t02_000", "A_sa_t02_001"]
    assert [case.volume for case in found.cases[1:3]] == ["A_sa_t00", "A_sa_t02"]
    assert {case.patient for case in found.cases} == {"A", "B"} and found.classes == ()
    assert "2 volumes over time, read frame by frame: 4 frames with labels; frames without labels, left out: 4" in (
        found.notes
    )
    trajectory = np.arange(5 * 6 * 2 * 4).reshape(5, 6, 2, 4)
    for case, frame in zip(found.cases[:4], (0, 0, 2, 2), strict=True):
        image, mask = read_case(case)[..., 0], read_mask(case.masks[0])
        assert set(np.unique(image)) < set(trajectory[..., frame].ravel())
        assert set(np.unique(mask)) == {0, 1 + (frame == 0)}


def test_a_frame_that_a_person_chose(tmp_path: Path) -> None:
    over_time(tmp_path / "A", "A", (0, 2))
    chosen = find_cases(tmp_path, hints=ReadOptions(component=2)).cases
    assert [case.image.rpartition("::")[2] for case in chosen] == ["axial/0/2", "axial/1/2"]
    assert [case.masks[0].rpartition("::")[2] for case in chosen] == ["axial/0/2", "axial/1/2"]
    assert [case.id for case in chosen] == ["A_sa_000", "A_sa_001"]


def test_components_of_masks_that_are_no_frames_are_refused(tmp_path: Path) -> None:
    over_time(tmp_path / "empty", "A", ())
    with pytest.raises(DataError, match=r"no frame of a mask shows anything"):
        find_cases(tmp_path / "empty")
    assert len(find_cases(tmp_path / "empty", hints=ReadOptions(component=0)).cases) == 2
    over_time(tmp_path / "classes", "A", ())
    classes = np.zeros((5, 6, 2, 4), np.uint8)
    for number in range(4):
        classes[number, ..., number] = 1
    write_volume(tmp_path / "classes/A_sa_gt.nii.gz", classes, AXIAL, label=True)
    with pytest.raises(DataError, match=r"they may be classes, and no frames"):
        find_cases(tmp_path / "classes")
    write_volume(tmp_path / "classes/A_sa.nii.gz", classes[..., 0], AXIAL)
    with pytest.raises(
        DataError, match=r"A_sa_gt\.nii\.gz has 4 components .*, its image .*A_sa\.nii\.gz has 1"
    ) as caught:
        find_cases(tmp_path / "classes")
    assert "--component" not in str(caught.value)  # it does not help where a mask has them


def test_films_in_several_masks(tmp_path: Path) -> None:
    over_time(tmp_path, "A", (0, 2), mask="_left_gt")
    over_time(tmp_path, "A", (1, 2), mask="_right_gt")
    found = find_cases(tmp_path, hints=ReadOptions(classes_by="suffix"))
    assert [case.volume for case in found.cases] == ["A_sa_t00"] * 2 + ["A_sa_t01"] * 2 + ["A_sa_t02"] * 2
    assert [read_mask(case.masks[0]).max() for case in found.cases[::2]] == [1, 2, 1]


def test_a_table_may_name_the_folder_of_a_volume(tmp_path: Path) -> None:
    for part, name in (("Training/Labeled", "A"), ("Training/Labeled", "B"), ("Testing", "C")):
        over_time(tmp_path / part / name, name, (0, 2))
    scans(tmp_path / "Training/Unlabeled/D", "D_sa", shape=(5, 6, 2, 4))
    (tmp_path / "info.csv").write_text("External code,Vendor\nA,X\nB,Y\nC,X\nD,Y\n")
    for hints in (
        ReadOptions(drop_unpaired=True),
        ReadOptions(drop_unpaired=True, images="**/{id}_sa.*", masks="**/{id}_sa_gt.*"),
    ):
        found = find_cases(tmp_path, hints=hints)
        assert found.form == "table" and found.unpaired == (f"{tmp_path}/Training/Unlabeled/D/D_sa.nii.gz",)
        assert {case.id[0]: case.more["Vendor"] for case in found.cases} == {"A": "X", "B": "Y", "C": "X"}
        assert {case.split for case in found.cases} == {"train", "test"} and found.classes == ()


def test_films_beside_their_frames(tmp_path: Path) -> None:
    for name in ("p1_2CH_ED", "p1_2CH_half_sequence"):
        scans(tmp_path / "p1", name, f"{name}_gt")
    assert {case.volume for case in find_cases(tmp_path).cases} == {"p1_2CH_ED"}
    chosen = ReadOptions(images="**/{id}_sequence.nii.gz", masks="**/{id}_sequence_gt.nii.gz")
    assert {case.volume for case in find_cases(tmp_path, hints=chosen).cases} == {"p1_2CH_half"}
    (tmp_path / "p1/p1_2CH_ED.nii.gz").unlink()
    (tmp_path / "p1/p1_2CH_ED_gt.nii.gz").unlink()
    assert {case.volume for case in find_cases(tmp_path).cases} == {"p1_2CH_half_sequence"}


def test_hints_show_the_ending_that_is_there(tmp_path: Path) -> None:
    scans(tmp_path, "images/a", "images/b", "labels/c")
    with pytest.raises(DataError, match=r"--images 'PLACE/\{id\}\.nii\.gz' --masks 'PLACE/\{id\}_outline\.nii\.gz'"):
        find_cases(tmp_path)
    scans(tmp_path / "several", "t2", "t2_seg", "t2_centerline-manual")
    with pytest.raises(DataError, match=r"--masks '\{id\}_centerline-manual\.nii\.gz'"):
        find_cases(tmp_path / "several")


def test_channels_on_different_grids_say_which_to_take(tmp_path: Path) -> None:
    """Sequences of one examination, as PI-CAI has them: masks lie on one of them, and the patterns of it work."""
    fine, coarse = (4, 6, 3), (2, 3, 3)
    for fold, study in ((0, "10_1001"), (0, "10_1002"), (1, "11_1003"), (1, "12_1004"), (1, "13_1005"), (1, "14_1006")):
        place = f"images/fold{fold}/{study[:2]}/{study}"
        scans(tmp_path, f"{place}_t2w", f"labels/expert/{study}", shape=fine)
        scans(tmp_path, f"{place}_adc", shape=coarse, affine=np.diag([2.0, 2, 4, 1]))
    with pytest.raises(DataError, match="are channels of one image, and lie on different grids") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-012" and "resample the mask" not in str(caught.value)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    assert (images, masks) == ("**/{id}_t2w.nii.gz", "**/expert/{id}.nii.gz")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert {case.volume for case in found.cases} == {f"1{n}_100{m}" for n, m in zip("001234", "123456", strict=True)}
    assert {case.patient for case in found.cases} == {"10", "11", "12", "13", "14"} and not found.classes


@pytest.mark.parametrize(
    ("image", "mask", "steps", "advice"),
    [
        ((6, 6, 3), (3, 3, 3), (2.0, 2.0, 4.0), "resample the mask onto the image"),
        ((6, 6, 3), (4, 5, 3), (1.0, 1.0, 4.0), "one of the two was cut out of a larger one"),
        ((6, 6, 5), (6, 6, 1), (1.0, 1.0, 1.0), "the mask has one plane, and its image 5"),
    ],
)
def test_masks_on_other_grids_are_told_what_helps(
    tmp_path: Path, image: tuple[int, ...], mask: tuple[int, ...], steps: tuple[float, ...], advice: str
) -> None:
    scans(tmp_path, "images/a", shape=image)
    scans(tmp_path, "labels/a", shape=mask, affine=np.diag([*steps, 1]))
    with pytest.raises(DataError, match="another grid") as caught:
        find_cases(tmp_path)
    assert (caught.value.remedy or "").startswith(advice)
    if "--component planes" in str(caught.value):
        assert read_case(find_cases(tmp_path, hints=ReadOptions(component="planes")).cases[0]).shape == (6, 6, 5)


@pytest.mark.parametrize(
    ("other", "channel", "mask", "wanted"),
    [
        ("{s}/anat/{n}_FLAIR", "{s}/dwi/{n}_{c}", "derivatives/{s}/{n}_msk", "**/dwi/{id}_{channel}.nii.gz"),
        ("{s}/anat/{n}_FLAIR", "{s}/anat/{n}_{c}", "derivatives/{s}/{n}_msk", "re:"),
        ("{s}/FLAIR", "{s}/{c}", "{s}/seg", "re:"),
    ],
)
def test_all_channels_on_the_grid_of_the_masks_are_proposed(
    tmp_path: Path, other: str, channel: str, mask: str, wanted: str
) -> None:
    """ISLES 2022: masks lie on two of three sequences, and `{id}` has an underscore as in BIDS."""
    for number in range(1, 5):
        person = f"sub-stroke{number:04}"
        name = f"{person}_ses-0001"
        scans(tmp_path, other.format(s=person, n=name), shape=(4, 6, 3), affine=np.diag([2.0, 2, 4, 1]))
        scans(tmp_path, *(channel.format(s=person, n=name, c=c) for c in ("adc", "dwi")), shape=(2, 3, 3))
        scans(tmp_path, mask.format(s=person, n=name), shape=(2, 3, 3))
    with pytest.raises(DataError, match="lie on different grids") as caught:
        find_cases(tmp_path)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    assert images.startswith(wanted)
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len({case.volume for case in found.cases}) == 4 and found.channels == ("adc", "dwi")


def test_channels_in_folders_on_the_grid_of_the_masks_are_proposed(tmp_path: Path) -> None:
    places = {"FLAIR": (4, 6, 3), "T1": (2, 3, 3), "T2": (2, 3, 3)}
    for place, shape in places.items():
        scans(tmp_path / "p1", f"{place}/scan", shape=shape)
    scans(tmp_path / "p1", "seg", shape=(2, 3, 3))
    files = {place: tmp_path / f"p1/{place}/scan.nii.gz" for place in places}
    channels, mask = {str(file): read_header(file) for file in files.values()}, tmp_path / "p1/seg.nii.gz"
    with pytest.raises(DataError) as caught:
        check_channels(channels, {str(mask): read_header(mask)})
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert [Path(file.partition("::")[0]) for file in (found.cases[0].image, *found.cases[0].channels)] == [
        files["T1"],
        files["T2"],
    ]


def test_the_folder_of_a_sequence_is_proposed_where_another_has_one_of_the_same_name(tmp_path: Path) -> None:
    """MRBrainS18: `FLAIR` lies in `orig` and in `pre`, and the mask beside these."""
    for number in (1, 4, 5, 7):
        scans(tmp_path, f"training/{number}/orig/T1", shape=(4, 6, 3), affine=np.diag([2.0, 2, 4, 1]))
        scans(tmp_path, f"training/{number}/segm", shape=(2, 3, 3))
        scans(tmp_path, *(f"training/{number}/{place}/FLAIR" for place in ("orig", "pre")), shape=(2, 3, 3))
    with pytest.raises(DataError, match="lie on different grids") as caught:
        find_cases(tmp_path)
    images, masks = re.findall(r"--(?:images|masks) '([^']+)'", caught.value.remedy or "")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert {Path(case.image.partition("::")[0]).parts[-3:-1] for case in found.cases} == {
        (number, "orig") for number in "1457"
    }


@pytest.mark.parametrize("images", ["**/dwi/{id}_{channel}.nii.gz", "**/dwi/{id}_*adc.nii.gz"])
def test_an_id_may_hold_what_stands_behind_it_where_images_and_masks_agree_only_so(tmp_path: Path, images: str) -> None:
    for person, session in (("1", "a"), ("1", "b"), ("2", "a"), ("3", "a")):
        name = f"sub-{person}_ses-{session}"
        scans(tmp_path / f"sub-{person}/ses-{session}/dwi", f"{name}_dwi", f"{name}_adc")
        scans(tmp_path / f"derivatives/sub-{person}", f"{name}_msk")
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks="**/{id}_msk.nii.gz"))
    assert {case.volume for case in found.cases} == {"sub-1_ses-a", "sub-1_ses-b", "sub-2_ses-a", "sub-3_ses-a"}
    assert any("{id} in --images reaches as far as it can" in note for note in found.notes)
