"""What version 0.1 wrote opens: its datasets, runs, predictions, samples and scores (`written_by_0_1.zip`).

Written once by 0.1 in /srv/lesions, which is gone: toy scans of 8 cases at 8 x 8, three steps of training each. Masks
and images that its models draw must be those that it drew: probabilities as 16-bit numbers, and grey values, to two
units of their last place, which is what float32 of another processor may move.
"""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from sfumato import Length, Sampling, check, evaluate_masks, generate, load_model, report, resume, segment
from sfumato.data.dataset import Dataset
from sfumato.data.source import find_cases

LAST_PLACE = 2


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with ZipFile(Path(__file__).with_name("written_by_0_1.zip")) as archive:
        archive.extractall(folder)
    return folder


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image).astype(np.int64)


def test_its_dataset_opens_and_is_checked(old: Path) -> None:
    dataset = Dataset.open(old / "dataset")
    assert len(dataset) == 8 and dataset.spec.size == (8, 8) and dataset.spec.readers == 4
    assert {case.split for case in dataset.cases} == {"train", "validation", "test"}
    assert not check(old / "scans").errors and len(find_cases(old / "samples").cases) == 3


def test_its_model_draws_the_masks_that_it_drew(old: Path, tmp_path: Path) -> None:
    image = next(file for file in (old / "scans" / "images").iterdir() if file.stem == "000005")
    drawn = segment(old / "segments", image, out=tmp_path / "out", samples=2, sampling=Sampling(steps=2))
    for place in ("probability/000005.png", "twin/probability/000005.png"):
        before, now = pixels(old / "predictions" / place), pixels(drawn.folder / place)
        assert before.std() > 0 and np.abs(before - now).max() <= LAST_PLACE, place
    assert drawn.summary["members"] == 2 and drawn.summary["steps"] == 2


def test_its_model_draws_the_images_that_it_drew(old: Path, tmp_path: Path) -> None:
    made = generate(old / "images", out=tmp_path / "out", count=3, sampling=Sampling(steps=2))
    files = sorted(file.relative_to(made.folder) for file in made.folder.glob("grade */*.png"))
    assert len(files) == 3
    for file in files:
        assert np.abs(pixels(made.folder / file) - pixels(old / "samples" / file)).max() <= LAST_PLACE, file


def test_its_runs_go_on_with_a_dataset_that_was_moved(old: Path) -> None:
    before = load_model(old / "segments").step
    run = resume(old / "segments", dataset=old / "dataset", length=Length(until_steps=5))
    assert before == 3 and run.summary["step"] == run.summary["twin"]["step"] == 5


def test_its_folders_are_scored_and_reported(old: Path, tmp_path: Path) -> None:
    scores = evaluate_masks(old / "predictions", old / "scans", out=tmp_path / "scores")
    before = json.loads((old / "scores" / "summary.json").read_text("utf-8"))
    assert scores.summary["readers"] == before["readers"] == 4
    assert scores.summary["foreground_mean"]["Dice"] == pytest.approx(before["foreground_mean"]["Dice"], abs=1e-9)
    page = report(
        *(old / name for name in ("dataset", "segments", "images", "predictions", "scores")), out=tmp_path / "p"
    )
    assert "<html" in page.read_text("utf-8")
