"""A segmentation model from nothing in seconds: toy data, preparation, training as a generator, masks as pictures."""

import tempfile
from pathlib import Path

import numpy as np

from sfumato.builder.network import build_network
from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.data.formats.image import write_image
from sfumato.data.pack import Pack
from sfumato.data.preparation.prepare import Settings as Preparation
from sfumato.data.preparation.prepare import prepare
from sfumato.data.source import find_cases
from sfumato.data.toys.toy import make_toy
from sfumato.experiment.plan import plan_training
from sfumato.recipe import load_recipe
from sfumato.reporting.figures import grid, overlay
from sfumato.training.ema import EMA
from sfumato.training.loop import Settings, Until, train
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import Parts
from sfumato.training.stream import Stream

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    make_toy(folder / "toy", cases=40, size=32, readers=2)
    for _progress in prepare(find_cases(folder / "toy"), folder / "dataset", Preparation(size=(32, 32))):
        pass  # each item says how far it is
    pack = Pack.open(folder / "dataset")

    # A recipe in words; the plan resolves every `auto` on the data; `build` turns words into objects.
    settings = ["network={kind: unet, channels: 8, multipliers: [1, 2], attention: [], blocks: 1}", "validate.cases=6"]
    recipe, choices = plan_training(load_recipe("segment", settings=settings), pack, device="cpu")
    task = build_task(recipe, pack, build_process(recipe), device="cpu")
    network = build_network(recipe, pack.spec)
    parts = Parts(
        network=network, ema=EMA(network, half_life=200), optimizer=make_optimizer(network, learning_rate=1e-2)
    )
    before = task.validate(parts.ema.network)["dice"]

    # Training is a generator: between two items everything may be looked at, changed, saved, or ended.
    stream = Stream(rows=tuple(pack.rows("train")), batch=8, seed=0)
    steps = train(parts, task.loss, stream, until=Until(steps=60), settings=Settings(warmup_steps=10))
    losses = [progress.terms["loss"] for progress in steps]

    assert np.mean(losses[-20:]) < np.mean(losses[:20]), "the loss falls"
    assert task.validate(parts.ema.network)["dice"] > before + 0.3, "and masks get better on held-out cases"
    shown = task.preview(parts.ema.network)
    tiles = np.stack([overlay(case.image, case.mask, reference=case.reference) for case in shown])
    write_image(Path("masks.png"), grid(tiles, 4))
