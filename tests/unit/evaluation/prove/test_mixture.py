"""REAL and SAMPLES in one dataset: rows where they belong, numbers as REAL has them, nothing of the test in it."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.data.spec import Spec
from sfumato.data.toys.toy import make_toy
from sfumato.errors import DataError
from sfumato.evaluation.prove.mixture import Samples, choose_parts, mix, stored_input, synthetic_cases, usable_samples
from sfumato.evaluation.prove.origin import trace

sys.path.insert(0, str(Path(__file__).parent))
from stripes import SIDE, write_folder, write_real

GREY = np.full((SIDE, SIDE, 1), 100, np.uint8)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_real(tmp_path_factory.mktemp("mixture"), train={"across": 3, "down": 2}, test=20)


def find_samples(folder: Path, spec: Spec, *, masks: bool) -> Samples:
    return usable_samples(synthetic_cases(folder, None), folder, spec, masks=masks)


def colours(rng: np.random.Generator, label: str) -> np.ndarray:
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def manifest(folder: Path, **fields: str) -> Path:
    """A folder with one grey image and a table about it."""
    folder.mkdir(parents=True)
    write_image(folder / "x.png", GREY)
    known = {key: value for key, value in fields.items() if key in ("label", "origin")}
    more = {key: value for key, value in fields.items() if key not in known}
    write_manifest(folder / "manifest.csv", [Case(id="x", image=str(folder / "x.png"), more=more, **known)])
    return folder


def test_rows_are_where_the_arms_expect_them(real: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(real)
    parts = choose_parts(dataset, by_class=True)
    samples = find_samples(
        write_folder(tmp_path / "fresh", {"across": 4, "down": 2}, seed=7), dataset.spec, masks=False
    )
    told: list[int] = []
    mixed = mix(real, dataset, parts, samples, tmp_path / "mixed", progress=told.append)
    assert [case.origin for case in mixed.cases] == ["real"] * 5 + ["synthetic"] * 6 + ["real"] * 40
    assert [case.split for case in mixed.cases] == ["train"] * 11 + ["test"] * 40 and told == [1, 2, 3, 4, 5, 6]
    for ours, theirs in ((range(5), parts.trained), (range(11, 51), parts.tested)):
        assert mixed.images(list(ours)).equal(dataset.images(theirs)) and mixed.labels(list(ours)).equal(
            dataset.labels(theirs)
        )
    assert mixed.labels(range(5, 11)).tolist() == [0, 0, 0, 0, 1, 1]
    again = mix(real, dataset, parts, samples, tmp_path / "mixed", progress=told.append)
    assert len(told) == 6 and len(again) == 51


def test_the_masks_of_real_data_stay_behind_when_classes_are_asked_about(tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", cases=24, size=16, classes=2, readers=1)
    dataset = tmp_path / "dataset"
    for _ in prepare_cases(find_cases(tmp_path / "toy"), dataset, PreparationSettings(size=(SIDE, SIDE), workers=1)):
        pass
    opened = Dataset.open(dataset)
    parts = choose_parts(opened, by_class=True)
    fresh = write_folder(tmp_path / "fresh", {"grade 0": 2, "grade 1": 2}, make=colours)
    samples, out = find_samples(fresh, opened.spec, masks=False), tmp_path / "mixed"
    mixed = mix(dataset, opened, parts, samples, out, progress=lambda _: None)
    assert not mixed.spec.has_masks and mixed.spec.mask_classes == () and not (out / "masks.npy").exists()
    assert not any(case.masks for case in mixed.cases) and mixed.spec.classes == opened.spec.classes
    announced = json.loads((out / "dataset.json").read_text(encoding="utf-8")) | {"spec": opened.spec.to_dict()}
    (out / "dataset.json").write_text(json.dumps(announced), encoding="utf-8")  # as 0.1 left it behind
    assert mix(dataset, opened, parts, samples, out, progress=lambda _: None).spec == mixed.spec


def test_few_test_images_are_joined_by_those_for_validation(tmp_path: Path) -> None:
    dataset = Dataset.open(write_real(tmp_path, train={"across": 2, "down": 2}, test=3))
    parts = choose_parts(dataset, by_class=True)
    assert len(parts.tested) == 6 + 8 and "has 3 cases of its smallest class" in parts.notes[0]


def test_real_images_among_samples_are_left_out(tmp_path: Path, real: Path) -> None:
    folder = manifest(tmp_path / "samples", label="down", origin="synthetic")
    write_image(folder / "y.png", GREY)
    cases = [
        Case(id=name, image=str(folder / f"{name}.png"), label="down", origin=origin)
        for name, origin in (("x", "synthetic"), ("y", "real"))
    ]
    write_manifest(folder / "manifest.csv", cases)
    samples = find_samples(folder, Dataset.open(real).spec, masks=False)
    assert [case.id for case in samples.cases] == ["x"] and samples.notes[0].startswith(
        "1 of 2 images of SAMPLES are real"
    )


def test_what_a_model_made_keeps_the_numbers_of_the_model(real: Path, tmp_path: Path) -> None:
    """Of 16-bit data in a window, a generated PNG is black to white and not Hounsfield units."""
    spec = replace(Dataset.open(real).spec, dtype="int16", intensity=Intensity("window", -1000, 1000, "air to bone"))
    folder = manifest(tmp_path / "made", origin="synthetic", seed="3")
    made = Case(id="x", image=str(folder / "x.png"), origin="synthetic", more={"seed": "3"})
    assert (stored_input(made, spec).array == 100 * 257).all()
    with pytest.raises(DataError, match="uint8"):
        stored_input(replace(made, more={}), spec)


def test_a_generator_that_saw_the_test_is_refused(real: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(real)
    tested = [case for case in dataset.cases if case.split == "test"]
    samples, run = tmp_path / "samples", tmp_path / "run"
    for folder, inputs in (
        (samples, {"model": {"path": str(run / "checkpoints" / "last"), "sha256": None}}),
        (run, {}),
    ):
        folder.mkdir()
        (folder / "provenance.json").write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
    assert trace(samples, tested).datasets == ()
    (run / "run.json").write_text(json.dumps({"dataset": str(real)}), encoding="utf-8")
    assert trace(samples, tested).datasets == (real,)
    other = [replace(case, split="test") for case in dataset.cases if case.split == "train"]
    with pytest.raises(DataError, match="5 of the 5 test cases"):
        trace(samples, other)
    shared = [replace(case, patient="p", image="elsewhere.png") for case in tested[:2]]
    assert trace(samples, shared).datasets == (real,)
