"""A flow that is taught to jump: from a command to images of two calls, stopped and continued with the same bits."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.commands import generate as generating
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.errors import UsageError
from sfumato.experiment.run import Run
from sfumato.training.checkpoint import newest

SETTINGS = [
    "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}",
    "train.warmup=2",
    "validate.every_steps=100",
    "validate.cases=4",
    "validate.images=4",
]

WALK = SamplingFlags(sampler="dpmpp_2m", grid="log_snr", steps=5)


@pytest.fixture(scope="module")
def few(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("few") / "run"
    train.generate(dataset, out=run, steps=40, batch=4, few_calls=2, set=SETTINGS)
    return run


def terms(run: Path) -> list[set[str]]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record.keys() & {"plain", "jump"} for record in records if record["kind"] == "train"]


def test_the_second_half_teaches_jumps(few: Path) -> None:
    told = terms(few)
    assert told[:20] == [set()] * 20
    assert told[20:] == [{"plain", "jump"}] * 20
    assert "jumps are taught, stage 1 of 5" in (few / "train.log").read_text()


def test_a_stopped_run_goes_on_with_the_same_bits(few: Path, dataset: Path, tmp_path: Path) -> None:
    """Cut within the last stage, whose first quarter has been looked at: that too is a part of the checkpoint."""
    parts = tmp_path / "parts"
    checkpoints = ["checkpoint.every_steps=38"]
    train.generate(dataset, out=parts, steps=40, batch=4, few_calls=2, set=[*SETTINGS, *checkpoints])
    cut = tmp_path / "cut"
    train.resume(parts / "checkpoints" / "step-00000038", out=cut)
    ours, theirs = newest(cut / "checkpoints"), newest(few / "checkpoints")
    assert ours is not None and theirs is not None
    assert ours.state["curriculum"] == theirs.state["curriculum"]
    for stem, group in theirs.tensors.items():
        assert all(torch.equal(tensor, ours.tensors[stem][name]) for name, tensor in group.items()), stem


def test_images_take_two_calls_and_another_sampler_still_draws(few: Path, tmp_path: Path) -> None:
    summary = generating.generate(few, count=2, out=tmp_path / "jumped")
    assert summary["network_calls"] == 2
    assert len([*(tmp_path / "jumped").rglob("0*.png")]) == 2
    summary = generating.generate(few, count=2, out=tmp_path / "walked", sampling=WALK)
    assert summary["network_calls"] == 5


def test_a_flow_that_is_to_be_taught_starts_as_itself(dataset: Path, tmp_path: Path) -> None:
    """One step of a rate of nearly nothing leaves what it draws without jumps."""
    plain, run = tmp_path / "plain", tmp_path / "run"
    train.generate(dataset, out=plain, steps=4, batch=4, set=["process.kind=flow", *SETTINGS])
    still = [*SETTINGS[1:], "train.learning_rate=1e-12", "train.warmup=0"]
    train.generate(dataset, out=run, steps=1, batch=4, few_calls=2, init=str(plain), set=still)
    for of in (plain, run):
        generating.generate(of, count=2, out=tmp_path / f"of-{of.name}", sampling=WALK)
    first, second = (sorted((tmp_path / f"of-{of.name}").rglob("0*.png")) for of in (plain, run))
    assert len(first) == 2
    for ours, theirs in zip(first, second, strict=True):
        difference = np.asarray(Image.open(ours), int) - np.asarray(Image.open(theirs), int)
        assert abs(difference).max() <= 1, "but for the rounding of a grey value"


def test_a_flow_is_taught_afterwards_from_its_first_step(dataset: Path, tmp_path: Path) -> None:
    plain, run = tmp_path / "plain", tmp_path / "run"
    train.generate(dataset, out=plain, steps=4, batch=4, set=["process.kind=flow", *SETTINGS])
    train.generate(dataset, out=run, steps=6, batch=4, few_calls=1, init=str(plain), set=SETTINGS[1:])
    assert terms(run) == [{"plain", "jump"}] * 6
    recipe = Run(run).recipe
    assert (recipe.sample.sampler, recipe.sample.steps, recipe.train.few_calls_after) == ("jump", 1, 0.0)
    with pytest.raises(UsageError, match="taught to jump"):
        generating.generate(plain, count=1, out=tmp_path / "never", sampling=SamplingFlags(sampler="jump"))
