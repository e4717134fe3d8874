import gzip
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError, UsageError

GREY = np.zeros((4, 4), np.uint8)


def touch(folder: Path, *names: str) -> Path:
    """Files of these names; what they hold does not matter for finding them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def pairs(found: DiscoveredDataset, root: Path) -> list[tuple[str, ...]]:
    return [tuple(str(Path(path).relative_to(root)) for path in (case.image, *case.masks)) for case in found.cases]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.jpg", "masks/a.png"),
        ("image/a.png", "label/a.png"),
        ("x/y/images/a.png", "x/y/masks/0/a.png"),
        ("imgs/a.png", "Ground Truth/a.bmp"),
        ("a.jpg", "a_mask.png"),
        ("a.png", "a_gt.png"),
        ("a.png", "a-segmentation.png"),
        ("a.png", "a_label.tif"),
        ("a.png", "seg_a.png"),
        ("a.png", "Seg_a.png"),
        ("000_HC.png", "000_HC_Annotation.png"),
        ("a_1.png", "a_1_manual1.png"),
        ("a_frame.png", "a_mask_gt.png"),
        ("images/fine_3_10_fram.jpg", "masks/fine_3_10_mask.jpg"),
        ("busi_masks/a.png", "busi_masks/a_mask.png"),
        ("images/a.png", "images/a_mask.png"),
        ("images/case_label.png", "masks/case_label.png"),
    ],
)
def test_pairs(tmp_path: Path, image: str, mask: str) -> None:
    found = find_cases(touch(tmp_path, image, mask))
    assert found.has_masks and pairs(found, tmp_path) == [(image, mask)]


def test_masks_from_another_folder(tmp_path: Path) -> None:
    touch(tmp_path, *(f"scans/{name}.jpg" for name in "abc"), *(f"truth/{name}_segmentation.png" for name in "cab"))
    found = find_cases(tmp_path / "scans", masks=tmp_path / "truth")
    assert pairs(found, tmp_path) == [(f"scans/{name}.jpg", f"truth/{name}_segmentation.png") for name in "abc"]


def test_flat_masks_of_images_in_class_folders(tmp_path: Path) -> None:
    touch(tmp_path, "scans/cat/a.png", "scans/dog/b.png", "truth/b.png", "truth/a_gt.png")
    found = find_cases(tmp_path / "scans", masks=tmp_path / "truth")
    assert pairs(found, tmp_path) == [("scans/cat/a.png", "truth/a_gt.png"), ("scans/dog/b.png", "truth/b.png")]
    assert found.classes == ("cat", "dog")


def test_class_folders_that_are_numbers_are_no_readers(tmp_path: Path) -> None:
    names = [f"{part}/{label}/a.png" for label in (0, 1) for part in ("images", "masks")]
    found = find_cases(touch(tmp_path, *names))
    assert pairs(found, tmp_path) == [tuple(names[:2]), tuple(names[2:])] and found.classes == ("0", "1")


@pytest.mark.parametrize(
    "masks",
    [
        ("a_mask_0.png", "a_mask_1.png"),
        ("a_1stHO.png", "a_2ndHO.png"),
        ("a_manual1.png", "a_manual2.png"),
        ("masks/reader_2/a.png", "masks/reader_10/a.png"),
        ("mask-0/a.png", "mask-1/a.png"),
        ("masks/0/a.png", "masks/1/a.png"),
        ("a_mask.png", "a_mask_1.png"),
        ("rater1/a.png", "rater2/a.png"),
        ("labels/expert 1/a.png", "labels/expert 2/a.png"),
    ],
)
def test_several_readers_come_in_order(tmp_path: Path, masks: tuple[str, str]) -> None:
    image = "images/a.png" if "/" in masks[0] else "a.png"
    assert pairs(find_cases(touch(tmp_path, image, *masks)), tmp_path) == [(image, *masks)]


def test_patients_with_their_own_folders(tmp_path: Path) -> None:
    names = [
        f"set/P{p}/nodule-{n}/{part}/slice-{s}.png"
        for p in (1, 2)
        for n in (0, 1)
        for s in (2, 10)
        for part in ("images", "mask-0", "mask-1")
    ]
    found = find_cases(touch(tmp_path, *names))
    assert [case.patient for case in found.cases] == ["P1"] * 4 + ["P2"] * 4
    assert [case.id for case in found.cases[:3]] == [
        "P1_nodule-0_slice-2",
        "P1_nodule-0_slice-10",
        "P1_nodule-1_slice-2",
    ]
    for case in found.cases:
        assert [Path(mask).parent.parent for mask in case.masks] == [Path(case.image).parent.parent] * 2
    assert any("patients" in note for note in found.notes)


def test_class_folders(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, "wrap/10/a.png", "wrap/9/a.png", "wrap/9/b.jpg"))
    assert not found.has_masks and found.classes == ("9", "10")
    assert [(case.id, case.label) for case in found.cases] == [("9_a", "9"), ("9_b", "9"), ("10_a", "10")]


def test_class_folders_with_the_name_of_a_mask(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, "label_0/a.png", "label_1/b.png"))
    assert not found.has_masks and found.classes == ("label_0", "label_1")


def test_splits_of_the_source(tmp_path: Path) -> None:
    names = ["train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "test/dog/1.png"]
    found = find_cases(touch(tmp_path, *names))
    assert [(case.split, case.label) for case in found.cases] == [
        ("test", "dog"), ("train", "cat"), ("train", "dog"), ("validation", "cat"),
    ]  # fmt: skip
    assert len({case.id for case in found.cases}) == 4


def test_the_same_name_in_two_splits_keeps_its_own_mask(tmp_path: Path) -> None:
    names = [f"{split}/{part}/1.png" for split in ("train", "test") for part in ("images", "masks")]
    assert pairs(find_cases(touch(tmp_path, *names)), tmp_path) == [tuple(names[2:]), tuple(names[:2])]


def test_a_flat_folder_is_images_only(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, "a10.png", "a9.png", ".hidden.png", "Thumbs.db", "notes.txt"))
    assert [case.id for case in found.cases] == ["a9", "a10"] and not found.has_masks
    assert found.notes == (
        "hidden files or folders passed over: 2",
        "of what is hidden, not used, named like images: 1 (.hidden.png); without the dot they would be read",
        "files that are no images, not used: 1 (notes.txt)",
        found.notes[3],
    )
    assert found.notes[3].startswith("nobody said whose")


def test_names_that_do_not_match_are_all_listed(tmp_path: Path) -> None:
    images = [f"images/{number}.png" for number in range(30)]
    touch(tmp_path, *images, "masks/0.png", "masks/x.png", "masks/y.png")
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path)
    message = caught.value.in_full()
    assert caught.value.code == "DATA-010"
    assert all(str(tmp_path / name) in message for name in (*images[1:], "masks/x.png", "masks/y.png"))
    assert str(tmp_path / "images/0.png") not in message


def test_two_masks_of_one_reader_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png and a_mask\.png|a_mask\.png and a\.png") as caught:
        find_cases(touch(tmp_path, "images/a.png", "masks/a.png", "masks/a_mask.png"))
    assert caught.value.code == "DATA-011"


@pytest.mark.parametrize("names", [(), (".DS_Store",), ("a.txt",)])
def test_folders_without_images_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="holds no images"):
        find_cases(touch(tmp_path, *names))
    with pytest.raises(DataError, match="does not exist"):
        find_cases(tmp_path / "nowhere")


def test_medmnist(tmp_path: Path) -> None:
    arrays = {}
    for split, count in (("train", 12), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = np.zeros((count, 4, 4), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count, dtype=np.uint8)[:, None]
    np.savez(tmp_path / "a.npz", **arrays)
    for source in (tmp_path, tmp_path / "a.npz"):
        found = find_cases(source)
        assert found.classes == tuple(map(str, range(12)))
        assert [case.split for case in found.cases] == ["train"] * 12 + ["validation"] * 2 + ["test"] * 3
        assert found.cases[3] == Case(
            id="train_03", image=f"{tmp_path}/a.npz::train_images/3", label="3", split="train"
        )


@pytest.mark.parametrize("key", ["masks", "labels"])
def test_npz_with_masks(tmp_path: Path, key: str) -> None:
    masks = np.arange(2 * 16).reshape(2, 4, 4).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 4, 4, 3), np.uint8), **{key: masks})
    found = find_cases(tmp_path / "a.npz")
    assert found.has_masks and np.array_equal(read_mask(found.cases[1].masks[0]), masks[1])


@pytest.mark.parametrize(
    ("arrays", "finding"),
    [
        ({"x": GREY, "y": GREY}, "the arrays x, y"),
        ({"images": np.zeros((3, 3, 4, 3))}, "more than one way"),
        ({"images": np.zeros((3, 4, 4)), "labels": np.zeros((3, 2))}, "shape"),
        ({"images": np.zeros((3, 4, 4)), "masks": np.zeros((3, 5, 4))}, "shape"),
    ],
)
def test_other_npz_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], finding: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=finding):
        find_cases(tmp_path)


def test_idx_pairs(tmp_path: Path) -> None:
    folder = tmp_path / "deep/mnist"
    folder.mkdir(parents=True)
    images, labels = np.arange(48, dtype=np.uint8).reshape(3, 4, 4), np.array([7, 2, 7], np.uint8)
    content = struct.pack(">HBB3I", 0, 8, 3, 3, 4, 4) + images.tobytes()
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    for prefix in ("t10k", "train"):
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 3) + labels.tobytes())
    found = find_cases(tmp_path)
    assert [case.label for case in found.cases] == ["7", "2", "7"] and found.classes == ("2", "7")
    assert {case.split for case in found.cases} == {"test"}
    assert any("train-labels-idx1-ubyte" in note for note in found.notes)


def test_a_manifest_goes_first(tmp_path: Path) -> None:
    write_image(tmp_path / "b.png", GREY)
    touch(tmp_path, "preview.png")
    write_manifest(tmp_path / "manifest.csv", [Case(id="b", image=str(tmp_path / "b.png"), label="x")])
    assert [case.id for case in find_cases(tmp_path).cases] == ["b"]


def test_masks_for_some_cases_only_are_refused(tmp_path: Path) -> None:
    cases = [Case(id="a", image="a.png", masks=("m.png",)), Case(id="b", image="b.png")]
    write_manifest(tmp_path / "manifest.csv", [Case(id=c.id, image=str(tmp_path / c.image),
                   masks=tuple(str(tmp_path / m) for m in c.masks)) for c in cases])  # fmt: skip
    with pytest.raises(DataError, match=r"1 of 2 cases have no mask"):
        find_cases(tmp_path)


def test_one_image(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", GREY)
    assert [case.id for case in find_cases(tmp_path / "a.png").cases] == ["a"]


def test_a_stem_that_two_images_have_decides_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "scans/cat/a.png", "scans/dog/a.png", "truth/a.png")
    with pytest.raises(DataError, match="2 images have no mask"):
        find_cases(tmp_path / "scans", masks=tmp_path / "truth")


def test_what_has_no_partner_may_be_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "images/b.png", "masks/b.png", "masks/c.png")
    found = find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    assert pairs(found, tmp_path) == [("images/b.png", "masks/b.png")]
    assert found.unpaired == (f"{tmp_path}/images/a.png", f"{tmp_path}/masks/c.png")
    assert any("1 image without a mask, 1 mask without an image" in note for note in found.notes)
    touch(tmp_path / "none", "images/a.png", "masks/b.png")
    with pytest.raises(DataError, match="1 image has no mask"):
        find_cases(tmp_path / "none", hints=ReadOptions(drop_unpaired=True))


def test_files_and_not_folders_that_are_broken_pair_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "a_mask.tif")
    (tmp_path / "a.tif").write_bytes(b"")
    assert pairs(find_cases(tmp_path), tmp_path) == [("a.tif", "a_mask.tif")]


def test_python_programs_give_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Case(id=name, image=f"{name}.png", label=name) for name in "ab"]
    assert find_cases(iter(cases)).cases == tuple(cases) and find_cases(cases).classes == ("a", "b")
    (tmp_path / "my_source.py").write_text(
        "from sfumato.data.manifest import Case\n"
        "def made():\n    yield Case(id='x', image='x.png')\n"
        "def wrong():\n    return [1]\n"
        "def none():\n    return []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert [case.id for case in find_cases("my_source:made").cases] == ["x"]
    sys.modules.pop("my_source")
    for name in ("my_source:other", "no_such_module:made", "my_source:wrong", "my_source:none"):
        with pytest.raises(UsageError, match=name):
            find_cases(name)
    with pytest.raises(DataError, match="more than once"):
        find_cases([cases[0], cases[0]])
    (tmp_path / "a:b").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="holds no images"):
        find_cases("a:b")


@pytest.mark.parametrize("group_by", [r"(.*)_\d", "^([a-z]+)"])
def test_groups_from_ids(tmp_path: Path, group_by: str) -> None:
    found = find_cases(touch(tmp_path, "anna_1.png", "anna_2.png", "bert_1.png"), hints=ReadOptions(group_by=group_by))
    assert [case.patient for case in found.cases] == ["anna", "anna", "bert"]
    assert any("2 groups" in note for note in found.notes)


@pytest.mark.parametrize("group_by", ["(", "site", "(a)(b)", r"^(\d)"])
def test_groups_that_do_not_work(tmp_path: Path, group_by: str) -> None:
    with pytest.raises(DataError) as caught:
        find_cases(touch(tmp_path, "anna_1.png", "1_bert.png"), hints=ReadOptions(group_by=group_by))
    assert caught.value.code == "DATA-054" and ("anna_1" in str(caught.value)) == group_by.startswith("^")


def test_files_that_are_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "a.pdf")
    with pytest.raises(DataError, match="not understood"):
        find_cases(tmp_path / "a.pdf")
    with pytest.raises(DataError, match="does not exist"):
        find_cases(tmp_path, hints=ReadOptions(table=tmp_path / "q.csv"))
    with pytest.raises(DataError, match="cannot be about"):
        find_cases(tmp_path / "a.pdf", hints=ReadOptions(table=tmp_path / "a.pdf"))
    with pytest.raises(DataError, match="holds no masks"):
        find_cases(touch(tmp_path, "b.png"), masks=touch(tmp_path / "empty", "x.txt"))


def test_the_kind_that_most_files_are_of_decides(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, "a.png", "b.png", "screenshot.nii.gz"))
    assert len(found.cases) == 2 and any("screenshot.nii.gz" in note for note in found.notes)


def test_images_alone_are_every_image_with_or_without_a_mask(tmp_path: Path) -> None:
    """What a model is used on: a half-labelled folder is no error, and what marks a mask is no image."""
    for name in ("images/a.png", "images/b.png", "masks/a.png", "masks/stray.png"):
        (tmp_path / "half" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "half" / name, np.zeros((4, 4, 1), np.uint8))
    found = find_cases(tmp_path / "half", hints=ReadOptions(images_only=True))
    assert [(case.id, case.masks) for case in found.cases] == [("a", ()), ("b", ())]
    assert not found.has_masks


def test_masks_that_a_person_names_are_not_passed_over_for_those_of_a_table(tmp_path: Path) -> None:
    for folder in ("set/images", "set/masks", "better", "linked"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("set/images/a.png", "set/masks/a_seg.png", "better/a_seg2.png"):
        write_image(tmp_path / name, np.eye(8, dtype=np.uint8) * 255)
    (tmp_path / "set/manifest.csv").write_text("id,image,mask\na,images/a.png,masks/a_seg.png\n")
    with pytest.raises(UsageError, match="no image has its mask there"):
        find_cases(tmp_path / "set", masks=tmp_path / "better")
    (tmp_path / "linked/masks").symlink_to(tmp_path / "set/masks")
    for same in (tmp_path / "set/masks", tmp_path / "linked/masks", tmp_path / "set/masks/a_seg.png"):
        assert find_cases(tmp_path / "set", masks=same).has_masks


@pytest.mark.parametrize("mask", ["masks", "Segmentation", "mask_path", "seg_0"])
def test_a_table_called_manifest_says_what_it_says_under_other_names(mask: str, tmp_path: Path) -> None:
    for folder in ("images", "outlines"):
        (tmp_path / folder).mkdir()
        for name in "ab":
            write_image(tmp_path / folder / f"{name}.png", np.eye(8, dtype=np.uint8) * 255)
    rows = "".join(
        f"{name},images/{name}.png,outlines/{name}.png,{kind}\n" for name, kind in zip("ab", "xy", strict=True)
    )
    (tmp_path / "manifest.csv").write_text(f"id,image,{mask},diagnosis\n{rows}")
    found = find_cases(tmp_path)
    assert found.form == "table" and [case.label for case in found.cases] == ["x", "y"]
    assert all(len(case.masks) == 1 for case in found.cases)
