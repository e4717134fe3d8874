"""Two best checkpoints of a run: both are kept, can be chosen, and the model says which it is."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sfumato.commands import exchange, info, train
from sfumato.data.dataset import Dataset
from sfumato.experiment.run import load_guide, load_model
from sfumato.tasks.segment import Segment
from sfumato.training.checkpoint import newest

from .test_train import TINY

SETTINGS = [TINY, "validate={every_steps: 2, cases: 2}", "sample.steps=1", "checkpoint.every_steps=100"]
SCORES = {2: (0.2, 0.9), 4: (0.5, 0.8), 6: (0.3, 0.3), 8: (0.4, 0.5), 10: (0.1, 0.6)}


def scripted(scores: dict[int, tuple[float, float]]) -> Iterator[dict[str, float]]:
    for dice, loss in scores.values():
        yield {"score": dice, "dice": dice, "iou": dice / 2, "loss_held_out": loss}


@pytest.fixture
def run(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten steps, stopped after seven: what was judged before the stop counts after it."""
    pretended = scripted(SCORES)
    monkeypatch.setattr(Segment, "validate", lambda *_: next(pretended))
    train.segment(dataset, out=tmp_path / "run", steps=6, batch=4, set=SETTINGS)
    train.resume(tmp_path / "run", until_steps=10)
    return tmp_path / "run"


def test_both_are_kept_and_can_be_chosen(run: Path) -> None:
    folder = run / "checkpoints"
    named = {name: int((folder / name).read_text().strip().removeprefix("step-")) for name in ("best", "best-loss")}
    assert named == {"best": 4, "best-loss": 6}
    steps = sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*"))
    assert {4, 6, 10} <= set(steps)
    assert load_model(run).step == 4 and load_model(folder / "best-loss").step == 6
    assert load_guide("best-loss", run).step == 6 and load_guide("last", run).step == 10
    last = newest(folder)
    assert last is not None and last.state["best"]["stalled"] == 3


def test_the_model_says_which_it_is(run: Path, tmp_path: Path) -> None:
    assert load_model(run).weights == info.info(run)["model"]["weights"] == "best by dice"
    for name, words, step in (("best", "best by dice", 4), ("best-loss", "best by loss", 6)):
        out = tmp_path / f"{name}.safetensors"
        told = exchange.export(run / "checkpoints" / name, to="safetensors", out=out)
        assert told["weights"] == words
        model = load_model(out)
        assert (model.weights, model.step) == (words, step)
        assert info.info(out)["weights"] == words
        source = load_model(run / "checkpoints" / name).network.state_dict()
        assert all(torch.equal(tensor, source[key]) for key, tensor in model.network.state_dict().items())
    assert "weights" not in info.info(run / "checkpoints" / "last")


def test_a_segmenter_is_validated_by_its_loss_too(segment_run: Path) -> None:
    records = [json.loads(line) for line in (segment_run / "log.jsonl").read_text().splitlines()]
    validated = [record for record in records if record["kind"] == "validate"]
    assert validated and all(record["loss_held_out"] > 0 for record in validated)
    assert (segment_run / "checkpoints" / "best-loss").is_file()


def test_a_generator_has_one_by_distance_beside_that_by_loss(generate_run: Path) -> None:
    names = {path.name for path in (generate_run / "checkpoints").iterdir() if path.is_file()}
    assert names == {"best", "best-kid", "last"}


def with_other_masks(dataset: Path, folder: Path, split: str) -> Path:
    """A copy of a dataset in which background and object of one split changed places."""
    shutil.copytree(dataset, folder)
    masks = np.load(folder / "masks.npy", mmap_mode="r+")
    rows = Dataset.open(folder).rows(split)
    assert rows
    masks[rows] = np.where(masks[rows] < 2, 1 - masks[rows], masks[rows])
    masks.flush()
    return folder


def validations(dataset: Path, run: Path) -> tuple[str, list[dict[str, float]]]:
    """The best step of a training, and what was measured at each validation."""
    train.segment(dataset, out=run, steps=8, batch=4, set=SETTINGS)
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    measured = [{**each, "seconds": 0} for each in records if each["kind"] == "validate"]
    return (run / "checkpoints" / "best").read_text(), measured


def test_masks_of_the_test_split_choose_no_checkpoint(dataset: Path, tmp_path: Path) -> None:
    found = validations(dataset, tmp_path / "run")
    assert validations(with_other_masks(dataset, tmp_path / "tested", "test"), tmp_path / "same") == found
    other = with_other_masks(dataset, tmp_path / "validated", "validation")
    assert validations(other, tmp_path / "other") != found, "those of the validation split do"
