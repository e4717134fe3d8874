"""Images of any form brought to that of the real ones, with a note; too few are refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.evaluation.images.conftest import SIDE, blobs, write

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.images.read import gathered, plain_spec, real_images, sample_images
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, parse_features


def test_parts_of_real_images(dataset: Dataset):
    held_out, every = (real_images(dataset, part, name="x") for part in ("auto", "all"))
    assert held_out.what == "validation and test part of x" and not held_out.notes
    assert len(held_out) == len(dataset.rows("validation")) + len(dataset.rows("test")) < len(every) == len(dataset)
    assert held_out.fetch([0, 3]).shape == (2, 1, SIDE, SIDE)
    assert sum(len(part) for part in gathered(held_out, lambda images: images)) == len(held_out)


def test_few_held_out_images_are_noted(tmp_path: Path, dataset: Dataset):
    rows = dataset.rows("train")
    few = Dataset(
        dataset.spec, [dataset.cases[k] for k in rows], [dataset._sizes[k] for k in rows], dataset._images[rows], None
    )
    found = real_images(few, "auto", name="x")
    assert found.what == "all images of x" and "only 0 held-out images" in found.notes[0]
    with pytest.raises(DataError, match="0 real images in the part 'test'"):
        real_images(few, "test", name="x")


@pytest.mark.parametrize("count", [1, 5])
def test_too_few_samples_are_refused(tmp_path: Path, dataset: Dataset, count: int):
    write(tmp_path, blobs(count, seed=0, kind=0), "a")
    with pytest.raises(DataError, match="too few") as refused:
        sample_images(tmp_path, dataset.spec)
    assert "at least 10" in str(refused.value)


def test_real_images_of_a_mixed_set_are_no_samples(tmp_path: Path, dataset: Dataset):
    """Counted as samples they would all be copies of training images."""
    write(tmp_path, blobs(24, seed=0, kind=0), "a")
    files = sorted(str(file) for file in tmp_path.rglob("*.png"))
    origins = ["real"] * 12 + ["synthetic"] * 12
    cases = [Case(id=f"{k}", image=file, origin=origins[k]) for k, file in enumerate(files)]
    write_manifest(tmp_path / "manifest.csv", cases)
    found = sample_images(tmp_path, dataset.spec)
    assert {case.origin for case in found.cases} == {"synthetic"} and len(found) == 12
    assert found.notes[0].startswith("12 real images beside")
    assert len(real_images(dataset, "all", name="x")) == len(dataset)


def test_a_set_of_toys_can_stand_for_real_images(dataset: Dataset):
    toys = Dataset(
        dataset.spec,
        [replace(case, origin="synthetic") for case in dataset.cases],
        dataset._sizes,
        dataset._images,
        None,
    )
    assert len(real_images(toys, "all", name="x")) == len(dataset)


def test_other_sizes_and_colours_are_brought_to_the_form_of_the_real_images(tmp_path: Path, dataset: Dataset):
    pixels = blobs(12, seed=0, kind=0)
    for number, image in enumerate(pixels):
        large = np.kron(image, np.ones((2, 2), np.uint8))[..., None]
        colour = np.repeat(image[..., None], 3, axis=2)
        write_image(tmp_path / f"{number:02}.png", large if number < 5 else colour)
    found = sample_images(tmp_path, dataset.spec)
    assert found.notes == (
        "brought from 3 to 1 channels: 7 of 12 images",
        f"resized from {2 * SIDE} x {2 * SIDE} to {SIDE} x {SIDE} pixels: 5 of 12 images",
    )
    restored = ((found.fetch(range(12))[:, 0].numpy() + 1) * 127.5).round()
    np.testing.assert_array_equal(restored[5:], pixels[5:])
    assert np.abs(restored[:5] - pixels[:5]).mean() < 6


def test_8_bit_pictures_of_16_bit_data_lie_between_its_black_and_white(tmp_path: Path):
    pixels = blobs(12, seed=0, kind=0)
    write(tmp_path / "source", pixels.astype(np.uint16) * 16 + 500, "a")
    for _ in prepare_cases(find_cases(tmp_path / "source"), tmp_path / "real", PreparationSettings(size=(SIDE, SIDE))):
        pass
    deep = Dataset.open(tmp_path / "real")
    assert deep.spec.stored_dtype == np.uint16
    write(tmp_path / "samples", pixels)
    found = sample_images(tmp_path / "samples", deep.spec)
    assert any("black to white of the data" in note for note in found.notes)
    np.testing.assert_allclose(found.fetch(range(12))[:, 0].numpy(), pixels / 127.5 - 1, atol=1e-4)


def test_without_a_data_set_pictures_must_have_8_bits(tmp_path: Path):
    write(tmp_path / "eight", blobs(10, seed=0, kind=0), "a")
    assert plain_spec(tmp_path / "eight").size == (SIDE, SIDE)
    write(tmp_path / "deep", blobs(10, seed=0, kind=0).astype(np.uint16) * 200, "a")
    with pytest.raises(DataError, match="uint16"):
        plain_spec(tmp_path / "deep")


def test_spaces_by_name():
    assert parse_features("own, pixels,inception:a.pth") == (
        FeatureSpaceSpec("own"),
        FeatureSpaceSpec("pixels"),
        FeatureSpaceSpec("inception", "a.pth"),
    )
    for text in ("", "own,own", "colour", "inception", "own:file"):
        with pytest.raises(UsageError, match="--features"):
            parse_features(text)
