"""A run with every term of the loss, a discriminator among them, is one run however often it stops."""

import json
from pathlib import Path

import pytest
import torch

from sfumato.commands import train
from sfumato.errors import UsageError
from sfumato.training.checkpoint import newest

SETTINGS = [
    "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}",
    "loss={process: 1, dice: 1, generalised_dice: 0.3, focal: 0.2, boundary: 0.2, hausdorff: 0.2, adversarial: 0.1}",
    "train.schedule=constant",
    "train.warmup=3",
    "validate.every_steps=100",
    "validate.cases=2",
    "sample.steps=1",
]
LOGGED = {
    "loss",
    "process",
    "dice",
    "generalised_dice",
    "focal",
    "boundary",
    "hausdorff",
    "adversarial",
    "discriminator",
}


def test_a_resumed_run_against_a_discriminator_has_the_same_bits(dataset: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.segment(dataset, out=whole, steps=6, batch=4, set=SETTINGS)
    train.segment(dataset, out=parts, steps=3, batch=4, set=SETTINGS)
    train.resume(parts, until_steps=6)
    ours, theirs = newest(parts / "checkpoints"), newest(whole / "checkpoints")
    assert ours is not None and theirs is not None and ours.tensors.keys() == theirs.tensors.keys()
    assert {"adversary", "adversary-optimizer"} <= ours.tensors.keys()
    for stem, group in theirs.tensors.items():
        assert all(torch.equal(tensor, ours.tensors[stem][name]) for name, tensor in group.items()), stem
    record = json.loads((whole / "log.jsonl").read_text().splitlines()[0])
    assert record.keys() >= LOGGED and "cross_entropy" not in record


def test_a_model_of_it_is_a_model_like_any_other(dataset: Path, tmp_path: Path) -> None:
    """A twin has the terms of its model but for the cross-entropy, which is its own loss."""
    process = "process={kind: gaussian, prediction: v, critical_log_snr: auto}"
    terms = "loss={process: 1, dice: 0, cross_entropy: 1, boundary: 0.1}"
    train.segment(dataset, out=tmp_path / "run", steps=2, batch=4, set=[*SETTINGS, process, terms], twin=True)
    logs = [tmp_path / "run" / name / "log.jsonl" for name in (".", "twin")]
    model, twin = (json.loads(log.read_text().splitlines()[0]).keys() for log in logs)
    assert model - twin == {"cross_entropy"} and "boundary" in twin


def test_terms_of_masks_are_refused_for_images(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"loss\.hausdorff.*images have none"):
        train.generate(dataset, out=tmp_path / "run", steps=2, set=["loss.hausdorff=0.1"])
