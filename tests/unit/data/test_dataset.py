import errno
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import read_image, write_image
from sfumato.data.mask import IGNORED
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.data.spec import Intensity, Spec, model_input, read_input, to_data, with_channels
from sfumato.data.statistics import statistics
from sfumato.errors import DataError, ResourceError, UsageError
from sfumato.randomness import Noise
from sfumato.tasks.readers import drawn_readers, readers_of

RANDOM = np.random.default_rng(0)


def blobs(folder: Path, *, count: int = 10, size: int = 20, channels: int = 1, dtype: type = np.uint8) -> Path:
    """Images and masks of two readers; reader 1 sees nothing."""
    for part in ("images", "masks/0", "masks/1"):
        (folder / part).mkdir(parents=True)
    for row in range(count):
        pixels = RANDOM.integers(0, 200, (size, size, channels)).astype(dtype)
        mask = np.zeros((size, size), np.uint8)
        mask[: row + 1] = 255
        write_image(folder / "images" / f"{row}.png", pixels)
        write_image(folder / "masks/0" / f"{row}.png", mask)
        write_image(folder / "masks/1" / f"{row}.png", 0 * mask)
    return folder


def prepared(source: Path, out: Path, **options: Any) -> Dataset:
    steps = list(prepare_cases(find_cases(source), out, PreparationSettings(**{"size": (16, 16), **options})))
    assert steps[-1].done == steps[-1].total == len(steps)
    return Dataset.open(out)


def test_a_prepared_set_gives_batches(tmp_path: Path) -> None:
    dataset = prepared(blobs(tmp_path / "raw"), tmp_path / "set", size=(20, 20))
    rows = [3, 0, 7]
    images = dataset.images(rows)
    assert images.shape == (3, 1, 20, 20) and images.dtype == torch.float32
    stored = read_image(dataset.cases[3].image)[..., 0]
    assert torch.allclose(images[0, 0], torch.from_numpy(stored / 127.5 - 1).float(), atol=1e-6)
    assert dataset.masks(rows).sum((1, 2)).tolist() == [80, 20, 160] and dataset.masks(rows).dtype == torch.uint8
    assert dataset.masks(rows, [1, 0, 1]).sum((1, 2)).tolist() == [0, 20, 0]
    assert dataset.spec.readers == 2 and dataset.spec.mask_classes == ("background", "foreground")
    assert sorted(row for split in ("train", "validation", "test") for row in dataset.rows(split)) == list(range(10))
    assert "empty masks: 10" in dataset.notes
    assert {file.name for file in tmp_path.iterdir()} == {"raw", "set"}


def test_a_fresh_image_takes_the_same_path(tmp_path: Path) -> None:
    dataset = prepared(blobs(tmp_path / "raw", channels=3), tmp_path / "set", size=(16, 24), keep_aspect=True)
    fresh = read_input(dataset.cases[4], dataset.spec)
    assert torch.equal(to_data(fresh.array[None], dataset.spec), dataset.images([4]))
    assert fresh.placement == dataset.placement(4) == ((20, 20), (0, 4, 16, 16), (16, 24))
    assert dataset.images([1, 2]).is_contiguous(memory_format=torch.channels_last)


def test_grey_files_with_three_channels_are_stored_grey(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.png", np.repeat(RANDOM.integers(0, 256, (8, 8, 1), np.uint8), 3, axis=2))
    assert prepared(tmp_path, tmp_path / "set").spec.channels == 1


def test_the_first_colour_makes_all_rgb(tmp_path: Path) -> None:
    grey, colour = RANDOM.integers(0, 256, (8, 8), np.uint8), RANDOM.integers(0, 256, (8, 8, 3), np.uint8)
    for name, pixels in (("a", grey), ("b", colour), ("c", grey)):
        write_image(tmp_path / f"{name}.png", pixels)
    dataset = prepared(tmp_path, tmp_path / "set", size=(8, 8))
    levels = ((dataset.images([0, 1, 2]) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    assert np.array_equal(levels[0], np.repeat(grey[..., None], 3, 2)) and np.array_equal(levels[1], colour)
    assert "1 of 3 images have colours: all are stored as RGB (--grey makes all grey)" in dataset.notes


def test_colours_become_grey_where_that_is_asked_for(tmp_path: Path) -> None:
    grey, colour = RANDOM.integers(0, 256, (8, 8), np.uint8), RANDOM.integers(0, 256, (8, 8, 3), np.uint8)
    for name, pixels in (("a", grey), ("b", colour)):
        write_image(tmp_path / f"{name}.png", pixels)
    dataset = prepared(tmp_path, tmp_path / "set", size=(8, 8), grey=True)
    levels = ((dataset.images([0, 1]) + 1) * 127.5).round().byte().numpy()
    assert dataset.spec.channels == 1 and np.array_equal(levels[0, 0], grey)
    assert np.array_equal(levels[1, 0], np.rint(colour @ (0.299, 0.587, 0.114)).astype(np.uint8))
    assert "1 of 2 images have colours: they were made grey" in dataset.notes
    fresh = read_input(dataset.cases[1], dataset.spec)
    assert torch.equal(to_data(fresh.array[None], dataset.spec), dataset.images([1]))


def test_four_channels_have_no_grey(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=RANDOM.integers(0, 256, (3, 8, 8, 4), np.uint8))
    with pytest.raises(DataError, match="4 channels"):
        prepared(tmp_path / "data.npz", tmp_path / "set", size=(8, 8), grey=True)


def test_sixteen_bit_keeps_its_range(tmp_path: Path) -> None:
    for row in range(6):
        write_image(tmp_path / f"{row}.png", RANDOM.integers(1000, 5001, (8, 8)).astype(np.uint16))
    dataset = prepared(tmp_path, tmp_path / "set", size=(8, 8))
    assert dataset.spec.dtype == "uint16" and 1000 <= dataset.spec.intensity.low < 1100
    batch = dataset.images(dataset.rows("train"))
    assert batch.min().item() == -1 and batch.max().item() == pytest.approx(1)


def test_labels(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1", "3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / f"{name}.png", RANDOM.integers(0, 256, (8, 8), np.uint8))
    dataset = prepared(tmp_path, tmp_path / "set")
    labels = {case.id: label for case, label in zip(dataset.cases, dataset.labels(range(4)).tolist(), strict=True)}
    assert labels == {"a_1": 0, "a_2": 0, "b_1": 1, "3": 2}
    assert "cases without a class: 1" in dataset.notes


def test_copies_stay_together_and_are_told(tmp_path: Path) -> None:
    for row in range(20):
        write_image(tmp_path / f"{row}.png", np.full((8, 8), 9 + row % 2, np.uint8) * np.eye(8, dtype=np.uint8))
    dataset = prepared(tmp_path, tmp_path / "set")
    assert {case.split for case in dataset.cases[::2]} == {dataset.cases[0].split}
    assert "pictures that occur more than once: 2 (in 20 cases)" in dataset.notes


def test_a_reader_who_is_missing_says_nothing(tmp_path: Path) -> None:
    source = blobs(tmp_path / "raw", count=4)
    (source / "masks/1/2.png").unlink()
    dataset = prepared(source, tmp_path / "set")
    assert dataset.readings([1, 2, 3]).tolist() == [2, 1, 2]
    assert (dataset.masks([2], [1]) == IGNORED).all() and not dataset.masks([1], [1]).any()
    assert len(readers_of(dataset, 2)) == 1 and len(readers_of(dataset, 3)) == 2
    assert any("number of masks per image differs" in note for note in dataset.notes)
    rows = [2, 3] * 20
    drawn = drawn_readers(dataset, rows, Noise(range(len(rows)), "meta"))  # whatever device the numbers are for
    assert set(zip(rows, drawn, strict=True)) == {(2, 0), (3, 0), (3, 1)}


def test_all_problems_are_told_at_once_and_nothing_is_written(tmp_path: Path) -> None:
    source = blobs(tmp_path / "raw")
    (source / "images/3.png").write_bytes(b"")
    (source / "masks/0/5.png").write_bytes(b"text")
    write_image(source / "masks/1/7.png", np.zeros((20, 21), np.uint8))
    with pytest.raises(DataError) as caught:
        list(prepare_cases(find_cases(source), tmp_path / "set", PreparationSettings(size=(16, 16))))
    message = str(caught.value)
    assert "3 files cannot be used" in message and "21 x 20" in message and "20 x 20" in message
    assert all(name in message for name in ("images/3.png", "masks/0/5.png", "masks/1/7.png"))
    assert [file.name for file in tmp_path.iterdir()] == ["raw"]


def test_masks_that_are_object_numbers_name_the_file(tmp_path: Path) -> None:
    source = blobs(tmp_path / "raw", count=3, size=20)
    write_image(source / "masks/0/1.png", np.arange(400).reshape(20, 20).astype(np.uint16))
    with pytest.raises(DataError, match=r"masks/0/1\.png") as caught:
        list(prepare_cases(find_cases(source), tmp_path / "set", PreparationSettings(size=(16, 16))))
    assert caught.value.code == "DATA-014"


def test_eight_and_sixteen_bit_do_not_mix(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    write_image(tmp_path / "b.png", np.zeros((8, 8), np.uint16))
    with pytest.raises(DataError, match=r"uint8.*a\.png(.|\n)*uint16.*b\.png"):
        prepared(tmp_path, tmp_path / "set", intensity="window")


@pytest.mark.parametrize(
    "options", [{"size": (0, 16)}, {"fractions": (0.0, 0.5, 0.5)}, {"fractions": (1.0, -0.1, 0.1)}]
)
def test_impossible_settings_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UsageError, match="impossible"):
        prepared(tmp_path, tmp_path / "set", **options)


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(UsageError, match="exists already"):
        prepared(tmp_path, tmp_path)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", np.zeros((8, 8), np.uint8))

    def full(*_: object, **__: object) -> Iterator[None]:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sfumato.data.preparation.describe.write_manifest", full)
    with pytest.raises(ResourceError, match="disk is full"):
        prepared(tmp_path, tmp_path / "set")
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_too_little_disk_is_told_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = blobs(tmp_path / "raw")
    need = 3 * 16 * 16 * 19  # an image and two masks, nine more times in the spool and ten times in the set
    monkeypatch.setattr("sfumato.data.preparation.store.shutil.disk_usage", lambda _: SimpleNamespace(free=need - 1))
    with pytest.raises(ResourceError, match="need"):
        prepared(source, tmp_path / "set", size=(16, 16))
    assert [file.name for file in tmp_path.iterdir()] == ["raw"]


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    prepared(blobs(tmp_path / "raw"), tmp_path / "set")
    np.save(tmp_path / "set/masks.npy", np.zeros((10, 2, 16, 15), np.uint8))
    with pytest.raises(DataError, match="shapes"):
        Dataset.open(tmp_path / "set")
    (tmp_path / "set/dataset.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(DataError, match="newer"):
        Dataset.open(tmp_path / "set")
    (tmp_path / "set/dataset.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(DataError, match="older"):
        Dataset.open(tmp_path / "set")
    with pytest.raises(DataError, match="no prepared data set"):
        Dataset.open(tmp_path / "raw")


def test_a_prepared_set_is_a_source(tmp_path: Path) -> None:
    dataset = prepared(blobs(tmp_path / "raw"), tmp_path / "set")
    assert find_cases(tmp_path / "set").cases == dataset.cases


def test_a_spec_survives_json() -> None:
    spec = Spec(
        size=(8, 9),
        channels=3,
        dtype="uint8",
        intensity=Intensity("unit", 0, 255, "x"),
        classes=("a",),
    )
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    with pytest.raises(DataError, match="incomplete"):
        Spec.from_dict({"classes": []})
    with pytest.raises(DataError, match="older sfumato"):
        Spec.from_dict({**spec.to_dict(), "intensity": {"low": 0, "high": 255, "text": "x"}})


@pytest.mark.parametrize("readers", [0, 2])
def test_version_0_1_and_this_one_read_each_others_specs(readers: int) -> None:
    spec = Spec(size=(8, 9), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, "x"), readers=readers)
    written = spec.to_dict()
    assert written["kind"] == ("segment" if readers else "generate") and spec.has_masks == bool(readers)
    assert Spec.from_dict(written) == spec
    assert not spec.without_masks().has_masks


def test_channels() -> None:
    colour = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert with_channels(colour, 1)[0, :, 0].tolist() == [76, 150, 29]
    grey = np.array([[[77], [78]]], np.uint8)
    assert np.array_equal(with_channels(with_channels(grey, 3), 1), grey)


def test_other_numbers_than_in_training_are_refused() -> None:
    spec = Spec(size=(8, 8), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, "x"))
    with pytest.raises(DataError, match="uint16"):
        model_input(np.zeros((8, 8, 1), np.uint16), spec, statistics(np.zeros(4, np.uint16)))
