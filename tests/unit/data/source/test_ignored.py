"""Values of masks that count nowhere, and tables beside the masks that name their values."""

import re
from pathlib import Path

import numpy as np
import pytest

from sfumato import Preparation, Reading, prepare
from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.mask import IGNORED, mask_rule
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import UsageError

SIDE = 24
CODES = "label\tGT_code\noutside_roi\t0\ntumor\t1\nstroma\t2\nundetermined\t21\n"


def tissue(number: int) -> np.ndarray:
    """A region of interest, all of which is some tissue."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4:20, 4:20] = 2
    mask[6:10, 5 + number : 12 + number] = 1
    mask[16:18, 6:12] = 21
    return mask


def histology(folder: Path) -> Path:
    for number in range(5):
        random = np.random.default_rng(number)
        for kind, content in (
            ("images", random.integers(0, 255, (SIDE, SIDE, 3), np.uint8)),
            ("masks", tissue(number)),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            write_image(folder / kind / f"{number + 5}.png", content)
    return folder


def classes(found: DiscoveredDataset) -> np.ndarray:
    """The class indices of the first mask."""
    raw = read_mask(found.cases[0].masks[0])
    counts = {int(value): 1 for value in np.unique(raw)}
    return mask_rule(counts, found.mask_names, found.ignore).apply(raw)


@pytest.mark.parametrize("names", ["0=ignore,1=tumor,2=stroma,21=other", "0=Ignore"])
def test_a_value_that_is_called_ignore_counts_nowhere(tmp_path: Path, names: str) -> None:
    found = find_cases(histology(tmp_path), hints=ReadOptions(class_names=tuple(names.split(","))))
    shown = classes(found)
    assert np.array_equal(shown == IGNORED, tissue(0) == 0)
    assert np.array_equal(shown == 1, tissue(0) == 1) and not (shown == 0).any()
    assert any("count nowhere" in note and re.search(r"\b0\b", note) for note in found.notes)


def test_several_values_are_ignored_and_the_background_is_where_it_is_said(tmp_path: Path) -> None:
    names = ("0=ignore", "21=ignore", "2=background", "1=tumor")
    shown = classes(find_cases(histology(tmp_path), hints=ReadOptions(class_names=names)))
    assert np.array_equal(shown == IGNORED, np.isin(tissue(0), (0, 21)))
    assert np.array_equal(shown == 0, tissue(0) == 2) and np.array_equal(shown == 1, tissue(0) == 1)


def test_a_prepared_set_holds_what_is_ignored(tmp_path: Path) -> None:
    reading = Reading(class_names="0=ignore,1=tumor,2=stroma,21=other")
    images = Preparation(size=SIDE)
    spec = prepare(
        histology(tmp_path / "source"), out=tmp_path / "out", preparation=images, reading=reading
    ).dataset.spec
    assert spec.ignore and spec.mask_classes == ("background", "tumor", "stroma", "other")


def test_values_of_files_of_classes_are_not_ignored(tmp_path: Path) -> None:
    for number in range(3):
        for name in ("images/{}.png", "masks/cup/{}.png", "masks/disc/{}.png"):
            path = tmp_path / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            side = 8 if "cup" in name else 12
            content = np.zeros((SIDE, SIDE), np.uint8)
            content[4 : 4 + side, 4 : 4 + side] = 255
            write_image(
                path, content if "masks" in name else np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE)
            )
    hints = ReadOptions(class_names=("0=ignore", "1=cup", "2=disc"), classes_by="folder")
    with pytest.raises(UsageError, match="ignore"):
        find_cases(tmp_path, hints=hints)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gtruth_codes.tsv", CODES),
        ("masks/classes.csv", "value,name\n0,void\n1,tumor\n2,stroma\n21,unknown\n"),
        ("labels.txt", "0 outside_roi\n1 tumor\n2 stroma\n21 don't care\n"),
        ("legend.csv", "index;tissue\n0;unlabelled\n1;tumor\n2;stroma\n21;excluded\n"),
        (
            "label descriptions.txt",
            "# ITK-SNAP\n"
            + "".join(
                f'{value:5}  {value}  0  9  {min(value, 1)}  1  1  "{name}"\n'
                for value, name in ((0, "void"), (1, "tumor"), (2, "stroma"), (21, "don't care"))
            ),
        ),
        ("map.txt", "0: ignore\n1: tumor\n2: stroma\n21: not annotated\n"),
    ],
)
def test_a_table_of_codes_names_the_values(tmp_path: Path, name: str, text: str) -> None:
    histology(tmp_path)
    (tmp_path / name).write_text(text)
    found = find_cases(tmp_path)
    told = "\n".join(found.notes)
    assert {found.mask_names[value] for value in (1, 2)} == {"tumor", "stroma"}
    assert f"{Path(name).name} names the values of the masks" in told
    assert "--class-names 0=ignore,21=ignore" in told and "not used" not in told
    named = find_cases(tmp_path, hints=ReadOptions(class_names=("0=ignore", "21=ignore")))
    assert dict(named.mask_names) == {0: "background", 1: "tumor", 2: "stroma"} and named.ignore is not None


def test_a_table_beside_a_folder_of_masks_is_found(tmp_path: Path) -> None:
    histology(tmp_path)
    (tmp_path / "gtruth_codes.tsv").write_text(CODES)
    found = find_cases(tmp_path / "images", masks=tmp_path / "masks")
    assert found.mask_names[21] == "undetermined"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("codes.csv", "name,code\nouter,0\ntumor,1\n", "2, 21"),  # lacks values that the masks have
        ("ages.csv", "case,age\nanna,0\nbert,1\ncarl,2\ndora,21\n", "ages.csv"),  # of something else
        ("people.csv", "id,name\n0,anna\n1,bert\n2,carl\n21,dora\n", "people.csv"),
        ("labels.csv", "id,label\n5,a\n6,b\n7,c\n8,d\n9,e\n", "labels.csv"),  # about the images
    ],
)
def test_other_tables_name_no_values(tmp_path: Path, name: str, text: str, told: str) -> None:
    histology(tmp_path)
    (tmp_path / name).write_text(text)
    found = find_cases(tmp_path)
    assert not found.mask_names and any(told in note for note in found.notes)


def test_a_table_of_codes_without_masks_is_told(tmp_path: Path) -> None:
    for path in (histology(tmp_path) / "masks").iterdir():
        path.unlink()
    (tmp_path / "gtruth_codes.tsv").write_text(CODES)
    assert any("gtruth_codes.tsv" in note and "not used" in note for note in find_cases(tmp_path).notes)


def test_names_of_a_person_go_before_those_of_a_table(tmp_path: Path) -> None:
    (histology(tmp_path) / "gtruth_codes.tsv").write_text(CODES)
    found = find_cases(tmp_path, hints=ReadOptions(class_names=("1=a", "2=b", "21=c")))
    assert found.mask_names[1] == "a" and any("gtruth_codes.tsv" in note for note in found.notes)


@pytest.mark.parametrize("value", [0, 3])
def test_a_value_of_volumes_is_ignored(tmp_path: Path, value: int) -> None:
    drawn = np.zeros((12, 12, 3), np.int16)
    drawn[2:6, 2:6], drawn[7:10, 7:10] = 1, 3
    for number in range(2):
        scan = np.random.default_rng(number).integers(-99, 99, drawn.shape).astype(np.int16)
        write_volume(tmp_path / f"p{number}.nii.gz", scan, np.diag([1.0, 1, 3, 1]))
        write_volume(tmp_path / f"p{number}_seg.nii.gz", drawn, np.diag([1.0, 1, 3, 1]))
    names = (f"{value}=ignore", "1=liver", *(["3=cyst"] if value == 0 else []))
    shown = classes(find_cases(tmp_path, hints=ReadOptions(class_names=names)))
    assert (shown == IGNORED).sum() == (drawn[..., 0] == value).sum()
    assert (shown == 1).sum() == (drawn[..., 0] == 1).sum()
