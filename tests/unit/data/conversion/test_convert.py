import json
import zipfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from sfumato.data.channels import read_case
from sfumato.data.conversion.convert import DatasetFormat, WrittenCases, convert_cases, prepared_meaning
from sfumato.data.conversion.nnunet import label_names, refuse_name
from sfumato.data.conversion.setting import ConversionStep, MaskMeaning
from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.manifest import Case, file_names, write_manifest
from sfumato.data.mask import MaskRule, named_mask_rule
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import DiscoveredDataset, find_cases
from sfumato.data.toys.volume import make_toy_volumes
from sfumato.errors import DataError, UsageError

RANDOM = np.random.default_rng(0)


def converted(found: DiscoveredDataset, out: Path, form: DatasetFormat, **settings: Any) -> WrittenCases:
    """Convert to the end; the folder is made first, as the command does."""
    if form in ("folder", "nnunet"):
        out.mkdir(parents=True)
    return finished(convert_cases(found, out, form=form, **settings))


def finished(steps: Generator[ConversionStep, None, WrittenCases]) -> WrittenCases:
    while True:
        try:
            step = next(steps)
            assert step.done <= step.total
        except StopIteration as end:
            result: WrittenCases = end.value
            return result


def noise(*shape: int, top: int = 256, dtype: type = np.uint8) -> np.ndarray:
    return RANDOM.integers(0, top, shape).astype(dtype)


def contents(found: DiscoveredDataset) -> list[tuple[Any, ...]]:
    """What must survive a round trip: id, class, pixels, and masks as they are."""
    return [
        (case.id, case.label, read_case(case).tolist(), [read_mask(mask).tolist() for mask in case.masks])
        for case in found.cases
    ]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two class folders: 8-bit RGB, 8-bit grey and 16-bit grey of several shapes."""
    folder = tmp_path / "labelled"
    for name in ("benign", "malign"):
        (folder / name).mkdir(parents=True)
    write_image(folder / "benign" / "a b.png", noise(5, 7, 3))
    write_image(folder / "benign" / "c.png", noise(6, 4))
    write_image(folder / "malign" / "d.png", noise(3, 9, top=65536, dtype=np.uint16))
    Image.fromarray(noise(8, 8, 3)).save(folder / "malign" / "e.jpg")
    return folder


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Images of one size with class masks, classes and patients."""
    folder = tmp_path / "masked"
    cases = []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for row in range(6):
        case = Case(
            id=f"case {row}",
            image=str(folder / f"images/{row}.png"),
            masks=(str(folder / f"masks/{row}.png"),),
            label=("mole", "cancer")[row % 2],
            patient=f"p{row // 2}",
            more={"age": str(40 + row)},
        )
        write_image(Path(case.image), noise(6, 8, 3))
        write_image(Path(case.masks[0]), noise(6, 8, top=3))
        cases.append(case)
    write_manifest(folder / "manifest.csv", cases)
    return folder


def test_folder_to_zip_to_folder(labelled: Path, tmp_path: Path) -> None:
    before = find_cases(labelled)
    converted(before, tmp_path / "a.zip", "zip")
    between = find_cases(tmp_path / "a.zip")
    assert contents(between) == contents(before) and between.classes == before.classes
    converted(between, tmp_path / "back", "folder")
    assert contents(find_cases(tmp_path / "back")) == contents(before)
    assert sorted(path.name for path in (tmp_path / "back" / "malign").iterdir()) == ["d.png", "e.png"]


def test_zip_is_what_edm_reads(labelled: Path, tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        converted(find_cases(labelled), tmp_path / name, "zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        about = json.loads(archive.read("dataset.json"))
        assert archive.namelist() == [*(f"00000/img{row:08d}.png" for row in range(4)), "dataset.json"]
    assert set(about) == {"labels", "class_names", "file_names"}
    assert about["labels"] == [[f"00000/img{row:08d}.png", row // 2] for row in range(4)]
    assert about["class_names"] == ["benign", "malign"]
    assert list(about["file_names"].values()) == ["a b.png", "c.png", "d.png", "e.png"]


def test_zip_without_classes_has_no_labels(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(4, 4))
    result = converted(find_cases(tmp_path / "a.png"), tmp_path / "a.zip", "zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert json.loads(archive.read("dataset.json"))["labels"] is None
    assert result == WrittenCases(1, masks=False, notes=())


def test_folder_to_npz_to_folder(masked: Path, tmp_path: Path) -> None:
    before = find_cases(masked)
    result = converted(before, tmp_path / "a.npz", "npz")
    between = find_cases(tmp_path / "a.npz")
    assert contents(between) == contents(before) and between.classes == before.classes
    assert any("patients, other columns" in note for note in result.notes)
    converted(between, tmp_path / "back", "folder")
    assert contents(find_cases(tmp_path / "back")) == contents(before)


def test_folder_keeps_everything(masked: Path, tmp_path: Path) -> None:
    before = find_cases(masked)
    converted(before, tmp_path / "copy", "folder")
    after = find_cases(tmp_path / "copy")
    assert contents(after) == contents(before)
    assert [(case.patient, case.more) for case in after.cases] == [(case.patient, case.more) for case in before.cases]
    assert (tmp_path / "copy/images/case 0.png").is_file() and (tmp_path / "copy/masks/case 5.png").is_file()


def test_npz_with_splits_is_like_medmnist(masked: Path, tmp_path: Path) -> None:
    found = find_cases(masked)
    splits = ("train", "train", "train", "validation", "test", "test")
    cases = [Case(**{**vars(case), "split": split}) for case, split in zip(found.cases, splits, strict=True)]
    converted(found._replace(cases=tuple(cases)), tmp_path / "a.npz", "npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["train_images"].shape == (3, 6, 8, 3) and arrays["test_masks"].shape == (2, 6, 8)
        assert arrays["val_labels"].tolist() == [[found.classes.index("cancer")]]
        assert arrays["class_names"].tolist() == ["cancer", "mole"] and arrays["val_ids"].tolist() == ["case 3"]
    assert [case.split for case in find_cases(tmp_path / "a.npz").cases] == list(splits)


def test_npz_needs_one_size_and_one_kind_of_numbers(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 sizes") as caught:
        converted(find_cases(labelled), tmp_path / "a.npz", "npz")
    assert caught.value.code == "DATA-101" and "--size" in caught.value.remedy
    with pytest.raises(DataError, match="3 are uint8, 1 are uint16"):
        converted(find_cases(labelled), tmp_path / "a.npz", "npz", size=(4, 4))
    converted(find_cases(labelled / "benign"), tmp_path / "b.npz", "npz", size=(4, 5))
    with np.load(tmp_path / "b.npz") as arrays:
        assert arrays["images"].shape == (2, 4, 5, 3), "grey is repeated beside RGB"


def test_numbers_that_png_cannot_hold_become_tiff(tmp_path: Path) -> None:
    stack = noise(2, 5, 6, top=3000, dtype=np.int16) - np.int16(1024)
    np.savez(tmp_path / "ct.npz", images=stack)
    for form, out in (("folder", tmp_path / "out"), ("zip", tmp_path / "out.zip")):
        result = converted(find_cases(tmp_path / "ct.npz"), out, form)
        assert any("TIFF" in note and "int16" in note for note in result.notes)
        assert [read_case(case)[..., 0].tolist() for case in find_cases(out).cases] == stack.tolist()
    assert tifffile.imread(tmp_path / "out/images/0.tif").dtype == np.int16


def test_masks_become_class_indices(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    mask = np.where(noise(6, 6) > 128, 255, 0).astype(np.uint8)
    for name in ("a", "b"):
        write_image(tmp_path / f"s/{name}.png", noise(6, 6))
        write_image(tmp_path / f"s/{name}_mask.png", mask)
    result = converted(find_cases(tmp_path / "s"), tmp_path / "out", "folder")
    written = read_mask(str(tmp_path / "out/masks/a.png"))
    assert np.array_equal(written * np.uint8(255), mask)
    assert "masks hold class indices now: 0 background, 1 foreground" in result.notes


@pytest.mark.parametrize("crop", [False, True])
def test_size_resizes_image_and_mask_alike(tmp_path: Path, crop: bool) -> None:
    """A square in a wide image stays a square only where the centre is cut out."""
    (tmp_path / "s").mkdir()
    square = np.zeros((40, 80), np.uint8)
    square[10:30, 32:48] = 200
    write_image(tmp_path / "s/a.png", square)
    write_image(tmp_path / "s/a_mask.png", (square > 0).astype(np.uint8))
    converted(find_cases(tmp_path / "s"), tmp_path / "out", "folder", size=(20, 20), crop=crop)
    case = find_cases(tmp_path / "out").cases[0]
    image, mask = read_case(case)[..., 0], read_mask(case.masks[0])
    assert image.shape == mask.shape == (20, 20) and set(np.unique(mask)) == {0, 1}
    assert mask.sum() == (80 if crop else 40) and np.abs((image > 100) * 1 - mask.astype(int)).sum() <= 10


def test_ids_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", noise(4, 4))
    cases = tuple(Case(id=name, image=str(tmp_path / "a.png")) for name in ("p/x", ".hidden", "A", "a"))
    found = find_cases(tmp_path / "a.png")._replace(cases=cases)
    result = converted(found, tmp_path / "out", "folder")
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == [
        "A_2.png",
        "a_3.png",
        "hidden.png",
        "p_x.png",
    ]
    assert any("file names" in note and note.endswith(": 4") for note in result.notes)
    assert [case.id for case in find_cases(tmp_path / "out").cases] == ["p/x", ".hidden", "A", "a"]


def test_names_are_unique_on_every_system() -> None:
    assert file_names(["x", "X", "y"]) == ["x_0", "X_1", "y"]


def test_all_problems_are_told_before_anything_is_written(masked: Path, tmp_path: Path) -> None:
    (masked / "images/1.png").write_bytes(b"")
    write_image(masked / "masks/4.png", noise(3, 3, top=3))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"1\.png is empty") as caught:
        finished(convert_cases(find_cases(masked), tmp_path / "out", form="folder"))
    assert "4.png has the size 3 x 3" in str(caught.value) and not list((tmp_path / "out").iterdir())


def test_values_that_the_source_does_not_name_are_told(masked: Path, tmp_path: Path) -> None:
    found = find_cases(masked)._replace(mask_names={0: "background", 1: "mole"})
    with pytest.raises(DataError, match=r"masks/\d\.png: the mask has the value 2") as caught:
        converted(found, tmp_path / "out", "folder")
    assert caught.value.code == "DATA-014"


def test_partly_labelled_sources_are_refused_where_the_form_cannot_say_so(masked: Path, tmp_path: Path) -> None:
    found = find_cases(masked)
    bare = found._replace(cases=(Case(**{**vars(found.cases[0]), "label": None}), *found.cases[1:]))
    for form, out in (("zip", tmp_path / "a.zip"), ("npz", tmp_path / "a.npz")):
        with pytest.raises(DataError, match="case 0") as caught:
            converted(bare, out, form)
        assert caught.value.code == "DATA-100"


def nnunet(folder: Path, *, ending: str = ".png") -> Path:
    """A raw data set of nnU-Net with RGB images, three named classes, and folds."""
    raw = folder / "Dataset007_Moles"
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (raw / name).mkdir(parents=True)
    names = [f"mole_{row:03d}" for row in range(10)]
    for row, name in enumerate(names):
        end = "Ts" if row > 7 else "Tr"
        write_image(raw / f"images{end}" / f"{name}_0000{ending}", noise(8, 8, 3))
        write_image(raw / f"labels{end}" / f"{name}{ending}", np.repeat(np.arange(4, dtype=np.uint8), 16).reshape(8, 8))
    about = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "lesion": 1, "hair": 2, "ruler": 3},
        "numTraining": 8,
        "file_ending": ending,
    }
    (raw / "dataset.json").write_text(json.dumps(about))
    folds = [{"train": names[:6], "val": names[6:8]}, {"train": names[2:8], "val": names[:2]}]
    (raw / "splits_final.json").write_text(json.dumps(folds))
    return raw


def test_nnunet_to_prepared_to_nnunet(tmp_path: Path) -> None:
    raw = nnunet(tmp_path)
    for _ in prepare_cases(find_cases(raw), tmp_path / "dataset", PreparationSettings(size=(4, 4), workers=1)):
        pass
    found = find_cases(tmp_path / "dataset")
    out = tmp_path / "Dataset008_Back"
    converted(found, out, "nnunet", meaning=prepared_meaning(tmp_path / "dataset"))
    before, after = (json.loads((folder / "dataset.json").read_text()) for folder in (raw, out))
    assert after["labels"] == before["labels"] and after["channel_names"] == before["channel_names"]
    for file in sorted(path.relative_to(raw) for path in raw.glob("*T[rs]/*")):
        assert np.array_equal(np.asarray(Image.open(raw / file)), np.asarray(Image.open(out / file))), file
    assert len(list(out.glob("*T[rs]/*"))) == 20
    first = json.loads((out / "splits_final.json").read_text())[0]
    assert first == json.loads((raw / "splits_final.json").read_text())[0]


def test_folds_of_the_source_are_kept(tmp_path: Path) -> None:
    raw = nnunet(tmp_path)
    converted(find_cases(raw), tmp_path / "Dataset008_Back", "nnunet")
    written = (tmp_path / "Dataset008_Back/splits_final.json").read_text()
    assert json.loads(written) == json.loads((raw / "splits_final.json").read_text())


def test_nnunet_needs_masks_and_a_name(labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 of 4 cases have no mask"):
        converted(find_cases(labelled), tmp_path / "Dataset001_A", "nnunet")
    with pytest.raises(UsageError, match="called moles"):
        refuse_name(Path("moles"))
    refuse_name(Path("Dataset001_Moles"))


def test_one_reader_for_nnunet(masked: Path, tmp_path: Path) -> None:
    found = find_cases(masked)
    two = [Case(**{**vars(case), "masks": case.masks * 2}) for case in found.cases]
    result = converted(found._replace(cases=tuple(two)), tmp_path / "Dataset001_A", "nnunet")
    assert any("first reader's of 2" in note for note in result.notes)
    assert len(list((tmp_path / "Dataset001_A/labelsTr").iterdir())) == 6


@pytest.mark.parametrize(
    ("regions", "labels", "order"),
    [
        ({}, {"background": 0, "oedema": 1, "core": 2, "enhancing": 3, "ignore": 4}, []),
        (
            {"core": (2, 3), "whole": (1, 2, 3), "enhancing": (3,)},
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4},
            [1, 2, 3],
        ),
    ],
)
def test_labels_of_nnunet(
    regions: Mapping[str, tuple[int, ...]], labels: dict[str, int | list[int]], order: list[int]
) -> None:
    names = ("background", "oedema", "core", "enhancing")
    rule = named_mask_rule(dict(enumerate(names)), 9)
    assert label_names(MaskMeaning(rule, names, regions)) == (labels, order)


def test_pixels_to_ignore_come_last_in_nnunet(masked: Path, tmp_path: Path) -> None:
    found = find_cases(masked)._replace(ignore=2)
    converted(found, tmp_path / "Dataset001_A", "nnunet")
    about = json.loads((tmp_path / "Dataset001_A/dataset.json").read_text())
    assert about["labels"] == {"background": 0, "foreground": 1, "ignore": 2}
    for case in found.cases:
        written = read_mask(str(tmp_path / "Dataset001_A/labelsTr" / f"{case.id}.png"))
        assert np.array_equal(written, read_mask(case.masks[0]))


def test_volumes_keep_voxels_and_geometry(tmp_path: Path) -> None:
    make_toy_volumes(tmp_path / "scans", cases=3, size=16)
    found = find_cases(tmp_path / "scans")
    assert len(found.cases) > 3
    converted(found, tmp_path / "Dataset001_A", "nnunet")
    for row in range(3):
        for before, after in (
            (f"images/scan_{row:03d}.nii.gz", f"imagesTr/scan_{row:03d}_0000.nii.gz"),
            (f"labels/scan_{row:03d}.nii.gz", f"labelsTr/scan_{row:03d}.nii.gz"),
        ):
            old, new = nibabel.load(tmp_path / "scans" / before), nibabel.load(tmp_path / "Dataset001_A" / after)
            assert np.array_equal(np.asarray(old.dataobj), np.asarray(new.dataobj))
            assert np.allclose(old.affine, new.affine, atol=1e-4) and old.get_data_dtype() == new.get_data_dtype()
    with pytest.raises(UsageError, match="keep their size"):
        converted(found, tmp_path / "Dataset002_A", "nnunet", size=(8, 8))


def test_images_beside_volumes_are_refused(masked: Path, tmp_path: Path) -> None:
    make_toy_volumes(tmp_path / "scans", cases=1, size=16)
    flat, deep = find_cases(masked), find_cases(tmp_path / "scans")
    mixed = flat._replace(cases=(*flat.cases, *deep.cases))
    with pytest.raises(DataError, match="6 of") as caught:
        converted(mixed, tmp_path / "Dataset001_A", "nnunet")
    assert caught.value.code == "DATA-102"


def test_a_rule_that_was_decided_before_is_kept(masked: Path, tmp_path: Path) -> None:
    meaning = MaskMeaning(MaskRule((), 1, "1 and above is the object"), ("background", "object"))
    converted(find_cases(masked), tmp_path / "out", "folder", meaning=meaning)
    assert set(np.unique(read_mask(str(tmp_path / "out/masks/case 0.png")))) == {0, 1}


@pytest.mark.parametrize("form", ["folder", "zip", "npz", "nnunet"])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_of_any_channels_come_back(tmp_path: Path, channels: int, form: DatasetFormat) -> None:
    folder, cases = tmp_path / "source", []
    for row in range(4):
        case = Case(id=f"c{row}", image=str(folder / f"c{row}.tif"), masks=(str(folder / f"c{row}_mask.png"),))
        cases.append(case)
        folder.mkdir(exist_ok=True)
        write_image(Path(case.image), noise(9, 10, channels))
        write_image(Path(case.masks[0]), noise(9, 10, top=2))
    write_manifest(folder / "manifest.csv", cases)
    before = find_cases(folder)
    out = tmp_path / {"folder": "out", "zip": "out.zip", "npz": "out.npz", "nnunet": "Dataset001_X"}[form]
    converted(before, out, form)
    after = find_cases(out)
    assert [read_case(case).tolist() for case in after.cases] == [read_case(case).tolist() for case in before.cases]


def test_npz_is_refused_where_channels_would_be_taken_for_columns(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", noise(9, 10, 7))
    with pytest.raises(DataError, match="7 channels"):
        converted(find_cases(tmp_path / "a.tif"), tmp_path / "a.npz", "npz")
