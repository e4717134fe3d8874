"""A loss of one's own, and a score to watch: the parts of a training put together by hand, the loop as a generator."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sfumato import Preparation, load_recipe, prepare
from sfumato.builder.network import build_network
from sfumato.builder.process import build_process
from sfumato.builder.task import build_task
from sfumato.data.toys.toy import make_toy
from sfumato.experiment.plan import plan_training
from sfumato.training.data_order import Batch, DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import StoppingCriterion, TrainingSettings, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState

SMALL = {"network.channels": 8, "network.multipliers": (1, 2), "network.blocks": 1, "network.attention": ()}

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    make_toy(folder / "scans", cases=40, size=32)
    dataset = prepare(folder / "scans", out=folder / "dataset", preparation=Preparation(size=32)).dataset

    # The plan resolves every `auto` of a recipe on the data; `build_...` turns its words into objects.
    recipe = load_recipe("segment", changes={**SMALL, "validate.cases": 6})
    recipe, _choices = plan_training(recipe, dataset, device="cpu")
    task = build_task(recipe, dataset, build_process(recipe), device="cpu")
    network = build_network(recipe, dataset.spec)
    parts = TrainingState(
        network=network, ema=EMA(network, half_life=200), optimizer=make_optimizer(network, learning_rate=1e-2)
    )

    areas = torch.stack([(dataset.masks([row]) > 0).float().mean() for row in range(len(dataset))])
    weight = areas.mean() / areas.clamp(min=areas.mean() / 4)  # small objects count more, four times at most

    def loss(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """One number for each item of the batch, by name; `loss` is minimised, the others are only written down."""
        terms = task.loss(network, batch)
        return {**terms, "unweighted": terms["loss"], "loss": terms["loss"] * weight[list(batch.rows)]}

    # Between two items everything may be looked at, changed, saved, or ended.
    data_order = DataOrder(rows=tuple(dataset.rows("train")), batch=8, seed=0)
    seen = {0: task.validate(parts.ema.network)["dice"]}
    for step in training_loop(
        parts, loss, data_order, until=StoppingCriterion(steps=60), settings=TrainingSettings(warmup_steps=10)
    ):
        if step.step % 20 == 0:
            seen[step.step] = task.validate(parts.ema.network)["dice"]
            print(f"step {step.step}: loss {step.terms['loss']:.3f}, Dice {seen[step.step]:.3f}")
    assert seen[60] > seen[0] + 0.2, "masks of held-out cases get better"
