"""A messy set becomes a set without errors; the source stays as it was; every change is listed."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.inspection.fix import TURNS, fix
from sfumato.data.inspection.inspect import Inspection, inspect, measure_cases
from sfumato.data.source import DiscoveredDataset, find_cases
from sfumato.errors import DataError, UsageError


def picture(seed: int, shape: tuple[int, int] = (40, 30)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 200, (6, 6), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BICUBIC)).clip(0, 200)


def box(shape: tuple[int, int] = (40, 30), value: int = 255) -> np.ndarray:
    """An object that is nowhere symmetric."""
    mask = np.zeros(shape, np.uint8)
    mask[8:16, 6:20], mask[16:26, 6:10] = value, value
    return mask


def save(path: Path, pixels: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def tree(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def look(folder: Path) -> tuple[DiscoveredDataset, Inspection]:
    found = find_cases(folder)
    return found, inspect(found, list(measure_cases(found.cases)))


def fixed(found: DiscoveredDataset, inspection: Inspection, out: Path) -> Path:
    out.mkdir()
    assert [step.done for step in fix(found, inspection, out, short=str)] == list(range(1, len(found.cases) + 1))
    return out


def errors(inspection: Inspection) -> list[str]:
    return [f"{finding.code} {finding.text}" for finding in inspection.of("error")]


def changes(folder: Path) -> dict[str, list[str]]:
    """What was wrong with, and done to, each file by its name."""
    with (folder / "changes.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["file", "what was wrong", "what was done"]
    told: dict[str, list[str]] = {}
    for name, wrong, done in rows:
        told.setdefault("/".join(Path(name).parts[-2:]), []).append(f"{wrong} -> {done}")
    return told


@pytest.fixture
def messy(tmp_path: Path) -> Path:
    """Fifteen pairs, most with a defect of their own."""
    folder = tmp_path / "messy"
    for seed in range(15):
        save(folder / "images" / f"c{seed:02d}.png", picture(seed))
        save(folder / "masks" / f"c{seed:02d}_mask.png", box())
    images, masks = folder / "images", folder / "masks"
    (images / "c00.png").write_bytes(b"")
    (masks / "c01_mask.png").write_bytes((masks / "c01_mask.png").read_bytes()[:60])
    save(masks / "c02_mask.png", box(value=1))
    save(masks / "c03_mask.png", 255 - box())
    save(masks / "c04_mask.png", box().repeat(2, 0).repeat(2, 1))
    save(masks / "c05_mask.png", box((30, 30)))
    (images / "c06.png").rename(images / "c06.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    (images / "c07.png").unlink()
    save(images / "c07.jpg", np.rot90(picture(7)), exif=exif, quality=95)
    save(masks / "c07_mask.png", np.rot90(box()))
    save(masks / "c08_mask.png", box().T)
    (masks / "c09_mask.png").write_bytes((images / "c09.png").read_bytes())
    save(images / "c10.png", picture(10).astype(np.uint16) * 256)
    save(images / "c11.png", np.stack([picture(11)] * 3 + [np.full((40, 30), 128, np.uint8)], -1))
    return folder


def test_the_copy_of_a_messy_set_has_no_errors(messy: Path, tmp_path: Path) -> None:
    before = tree(messy)
    found, inspection = look(messy)
    assert len(inspection.of("error")) >= 6
    out = fixed(found, inspection, tmp_path / "fixed")
    assert tree(messy) == before
    again, second = look(out)
    assert errors(second) == [] and not {finding.code for finding in second.of("warning")} & {"DATA-076", "DATA-093"}
    assert [case.id for case in again.cases] == [f"c{row:02d}" for row in (2, 3, 4, 6, 7, 11, 12, 13, 14)]
    for case in again.cases:
        assert Path(case.image).suffix == Path(case.masks[0]).suffix == ".png"
        assert Path(case.image).stem == Path(case.masks[0]).stem
        assert np.array_equal(read_mask(case.masks[0]), box()), case.id
        if case.id not in ("c07", "c11"):
            assert np.array_equal(read_image(case.image)[..., 0], picture(int(case.id[1:])))


def test_every_change_is_listed(messy: Path, tmp_path: Path) -> None:
    told = changes(fixed(*look(messy), tmp_path / "fixed"))
    left_out = {name for name, lines in told.items() if any("-> left out" in line for line in lines)}
    assert left_out == {
        f"{folder}/c{row:02d}{ending}"
        for row in (0, 1, 5, 8, 9, 10)
        for folder, ending in (("images", ".png"), ("masks", "_mask.png"))
    }
    expected = {
        "images/c00.png": "0 bytes", "masks/c01_mask.png": "cut", "masks/c02_mask.png": "values 0, 1",
        "masks/c03_mask.png": "changed places", "masks/c04_mask.png": "resized to 30 x 40",
        "masks/c05_mask.png": "shape", "images/c06.jpg": "PNG named .jpg", "images/c07.jpg": "written turned",
        "masks/c07_mask.png": "not turned as its image", "masks/c08_mask.png": "which way",
        "masks/c09_mask.png": "the image itself", "images/c10.png": "uint16", "images/c11.png": "laid on black",
        "masks/c12_mask.png": "named c12.png",
    }  # fmt: skip
    assert {name: any(word in line for line in told[name]) for name, word in expected.items()} == dict.fromkeys(
        expected, True
    )
    assert "images/c12.png" not in told


@pytest.mark.parametrize("orientation", sorted(TURNS))
def test_a_mask_is_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    """The image file holds the picture turned back; Pillow's own rule turns it forward."""
    folder = tmp_path / "set"
    stored = {5: box().T, 6: np.rot90(box(), 1), 7: np.rot90(box(), 2).T, 8: np.rot90(box(), -1)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(folder / "images" / "a.png", stored // 2, exif=exif)
    save(folder / "masks" / "a.png", stored)
    assert np.array_equal(read_image(str(folder / "images" / "a.png"))[..., 0], box() // 2)
    (case,) = find_cases(fixed(*look(folder), tmp_path / "fixed")).cases
    assert np.array_equal(read_mask(case.masks[0]), box())


def test_palette_greys_become_classes(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    classes = np.zeros((40, 30), np.uint8)
    classes[4:9], classes[12:15], classes[20:22] = 1, 2, 4
    for seed in range(3):
        save(folder / "images" / f"{seed}.png", picture(seed))
        save(folder / "masks" / f"{seed}.png", np.array([0, 38, 75, 0, 15], np.uint8)[classes])
    (case, *_) = find_cases(fixed(*look(folder), tmp_path / "fixed")).cases
    assert np.array_equal(read_mask(case.masks[0]), classes)
    assert errors(look(tmp_path / "fixed")[1]) == []


def test_numbers_of_objects_become_one_class(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed in range(3):
        save(folder / "images" / f"{seed}.png", picture(seed))
        save(folder / "masks" / f"{seed}.png", np.arange(1200, dtype=np.uint16).reshape(40, 30) // 6)
    (case, *_) = find_cases(fixed(*look(folder), tmp_path / "fixed")).cases
    assert np.array_equal(read_mask(case.masks[0]).reshape(-1), [0] * 6 + [255] * 1194)


def test_sixteen_bits_readers_classes_and_names_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("a b", "a/b"):
        for reader in (0, 1):
            save(folder / f"mask-{reader}" / f"{name}.png", box() * (1 - reader))
        save(folder / "images" / f"{name}.png", picture(len(name)).astype(np.uint16) * 211)
    found, inspection = look(folder)
    cases = tuple(replace(case, id="a b", label="x", patient="p") for case in found.cases)
    found = found._replace(cases=cases, classes=("x",))
    out = fixed(found, inspection, tmp_path / "fixed")
    again = find_cases(out).cases
    assert {case.id for case in again} == {"a b_0", "a b_1"}
    assert all(case.label == "x" and case.patient == "p" and len(case.masks) == 2 for case in again)
    assert read_image(again[0].image).dtype == np.uint16
    assert [bool(read_mask(mask).any()) for mask in again[0].masks] == [True, False]


def test_a_set_of_classes_becomes_class_folders(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed, label in enumerate(("cat", "cat", "wild dog")):
        save(folder / label / f"{seed}.jpg", picture(seed), quality=90)
    out = fixed(*look(folder), tmp_path / "fixed")
    assert sorted(tree(out)) == ["cat/0.png", "cat/1.png", "changes.csv", "manifest.csv", "wild dog/2.png"]
    assert find_cases(out).classes == ("cat", "wild dog")


def test_leaks_are_moved_to_train_and_floats_stay_floats(tmp_path: Path) -> None:
    import tifffile

    folder = tmp_path / "set"
    for split, seeds in (("train", (0, 1)), ("test", (1, 2))):
        (folder / split).mkdir(parents=True)
        for seed in seeds:
            tifffile.imwrite(folder / split / f"{seed}.tif", picture(seed).astype(np.float32) / 7)
    found, inspection = look(folder)
    assert [finding.code for finding in inspection.of("error")] == ["DATA-081"]
    again, second = look(fixed(found, inspection, tmp_path / "fixed"))
    assert errors(second) == [] and [case.split for case in again.cases].count("train") == 3
    assert read_image(again.cases[0].image).dtype == np.float32


def test_files_without_partner_and_strange_values_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for seed in range(60):
        save(folder / "images" / f"{seed}.png", picture(seed))
        save(folder / "masks" / f"{seed}.png", box(value=1 + seed % 2))
    mask = box(value=1)
    mask[0, 0] = 9
    save(folder / "masks" / "7.png", mask)
    found, inspection = look(folder)
    found = found._replace(unpaired=("gone/x.png",))
    told = changes(fixed(found, inspection, tmp_path / "fixed"))
    assert told["gone/x.png"] == ["it has no partner -> left out"]
    assert told["masks/7.png"] == ["it has values of no class -> left out"]
    assert len(find_cases(tmp_path / "fixed").cases) == 59


def test_what_cannot_be_written(tmp_path: Path) -> None:
    save(tmp_path / "set" / "a.png", picture(1))
    found, inspection = look(tmp_path / "set")
    volumes = found._replace(cases=(replace(found.cases[0], image="scan.nii.gz::axial/3"),))
    refused: Sequence[DiscoveredDataset] = (volumes, found._replace(ignore=3))
    for source in refused:
        with pytest.raises(UsageError, match="not written anew"):
            list(fix(source, inspection, tmp_path, short=str))
    (tmp_path / "set" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="no case is left") as caught:
        fixed(*look(tmp_path / "set"), tmp_path / "fixed")
    assert caught.value.code == "DATA-071"


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((20, 15), "they have its shape"),  # half
        ((80, 60), "they have its shape"),  # double
        ((13, 10), "they have its shape"),  # a third, rounded
        ((40, 29), "they have its shape"),
        ((40, 27), "cut or padded"),
        ((36, 30), "cut or padded"),
    ],
)
def test_masks_of_another_size_are_resized_or_told_to_be_cut(tmp_path: Path, shape: tuple[int, int], told: str) -> None:
    for number in range(3):
        save(tmp_path / f"in/images/{number}.png", picture(number))
        save(tmp_path / f"in/masks/{number}.png", np.asarray(Image.fromarray(box()).resize(shape[::-1], 0)))
    found = find_cases(tmp_path / "in")
    measured = inspect(found, list(measure_cases(found.cases)))
    (finding,) = (finding for finding in measured.findings if finding.code == "DATA-012")
    assert told in finding.fix and ("--fix-into" in finding.fix) == (told == "they have its shape")
    if "--fix-into" not in finding.fix:
        return
    list(fix(found, measured, tmp_path / "out", short=str))
    for case in find_cases(tmp_path / "out").cases:
        assert read_mask(case.masks[0]).shape == (40, 30)
        assert abs(int((read_mask(case.masks[0]) > 0).sum()) - int((box() > 0).sum())) < 40
