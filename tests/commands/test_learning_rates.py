"""Frozen parameters and learning rates of their own, from the recipe to the weights."""

from pathlib import Path

import pytest
import torch

from sfumato.builder.network import build_network
from sfumato.commands import train
from sfumato.errors import UsageError
from sfumato.experiment.run import load_model
from sfumato.training.checkpoint import newest

SETTINGS = [
    "network={kind: unet, channels: 8, multipliers: [1, 2], blocks: 1, attention: []}", "train.warmup=0",
    "validate.cases=2", "sample.steps=2", "train.optimizer=adam", "train.betas=[0.9, 0.95]",
]  # fmt: skip
RATES = "train.learning_rates={'*.bias': 0.1, 'encoder.*': 0}"


@pytest.fixture(scope="module")
def run(dataset: Path) -> Path:
    run = dataset.parent / "frozen"
    train.segment(dataset, out=run, steps=4, batch=4, set=[*SETTINGS, RATES])
    return run


def frozen(name: str) -> bool:
    return name.startswith("encoder.") and not name.endswith(".bias")


def test_frozen_weights_keep_the_bits_they_were_made_with(run: Path) -> None:
    checkpoint, model = newest(run / "checkpoints"), load_model(run)
    assert checkpoint is not None
    made = dict(build_network(model.recipe, model.spec).named_parameters())
    assert any(map(frozen, made)) and not all(map(frozen, made))
    for stem in ("model", "ema"):
        still = {name for name, weight in made.items() if torch.equal(checkpoint.tensors[stem][name], weight)}
        assert still >= set(filter(frozen, made))
        assert "head.weight" not in still
    moved = {label.rpartition("/")[0] for label in checkpoint.tensors["optimizer"]}
    assert moved == {name for name in made if not frozen(name)}


def test_it_is_said_at_the_start_and_a_run_goes_on(
    run: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = tmp_path / "whole"
    settings = [*SETTINGS, RATES, "train.schedule=constant"]
    train.segment(dataset, out=whole, steps=4, batch=4, set=settings)
    made = dict(load_model(run).network.named_parameters())
    still, all_of_them = (sum(made[name].numel() for name in names) for names in (filter(frozen, made), made))
    assert f"frozen: {still:,} of {all_of_them:,} parameters" in capsys.readouterr().err
    parts = tmp_path / "parts"
    train.segment(dataset, out=parts, steps=2, batch=4, set=settings)
    train.resume(parts, until_steps=4)
    ours, theirs = (newest(folder / "checkpoints") for folder in (whole, parts))
    assert ours is not None and theirs is not None
    for stem, group in ours.tensors.items():
        assert not [name for name in group if not torch.equal(group[name], theirs.tensors[stem][name])], stem


@pytest.mark.parametrize(
    "rates", [[], ["train.learning_rates={'encoder.*': 0, '*.bias': 0.1}"], ["train.learning_rates={'encoder.*': 0}"]]
)
def test_other_patterns_or_another_order_are_another_run(run: Path, dataset: Path, rates: list[str]) -> None:
    with pytest.raises(UsageError, match=r"train\.learning_rates: .*in the run"):
        train.segment(dataset, out=run, steps=4, batch=4, set=[*SETTINGS, *rates])


def test_a_pattern_without_a_parameter_is_refused(dataset: Path, tmp_path: Path) -> None:
    settings = [*SETTINGS, "train.learning_rates={'encodr.*': 0}"]
    with pytest.raises(UsageError, match=r"(?s)encodr\.\* decides about no parameter.*\.\*"):
        train.segment(dataset, out=tmp_path / "run", steps=4, batch=4, set=settings)
