"""From a recipe to what the training loop is given: the parts that it trains, the order of the data, and how."""

from collections.abc import Sequence

import torch

from sfumato.builder.held import refuse_larger_than_memory
from sfumato.builder.network import build_network
from sfumato.builder.objective import build_adversary
from sfumato.data.spec import Spec
from sfumato.recipe import Recipe
from sfumato.recipe.train import CheckpointInterval, Validate
from sfumato.training.cadence import Every
from sfumato.training.curriculum import Curriculum
from sfumato.training.data_order import DataOrder
from sfumato.training.ema import EMA
from sfumato.training.hardware import resolve_compile
from sfumato.training.loop import StoppingCriterion, TrainingSettings
from sfumato.training.optimizer import make_optimizer
from sfumato.training.parts import TrainingState
from sfumato.training.precision import resolve_precision
from sfumato.training.processes import world
from sfumato.training.shard import shard


def build_parts(recipe: Recipe, spec: Spec, *, device: str) -> TrainingState:
    """The network, its optimiser, its averages and its adversary, before the first step.

    Raises:
        ResourceError: memory does not hold the network.
    """
    refuse_larger_than_memory(recipe, spec)
    network = build_network(recipe, spec).to(device)
    words = recipe.train
    assert words.learning_rate != "auto", "the plan resolves every auto"
    averages = [EMA(network, width=width) for width in words.ema_widths]
    averages = averages or [EMA(network, half_life=words.ema_half_life, ramp=words.ema_ramp)]
    if words.shard and world() > 1:
        for each in (network, *(average.network for average in averages)):
            shard(each)
    optimizer = make_optimizer(
        network,
        learning_rate=words.learning_rate,
        kind=words.optimizer,
        betas=words.betas,
        epsilon=words.epsilon,
        weight_decay=words.weight_decay,
        factors=words.learning_rates,
    )
    return TrainingState(
        network=network,
        ema=averages[0],
        optimizer=optimizer,
        further=tuple(averages[1:]),
        adversary=build_adversary(recipe, spec, device=device),
        curriculum=None if words.few_calls is None else Curriculum(begins=words.few_calls_after, watched="jump"),
    )


def build_data_order(recipe: Recipe, rows: Sequence[int]) -> DataOrder:
    """The endless walk through the rows of the training split."""
    return DataOrder(rows=tuple(rows), batch=recipe.train.global_batch, seed=recipe.train.seed)


def build_settings(recipe: Recipe, *, device: str) -> TrainingSettings:
    """How each step is made on a device."""
    words = recipe.train
    assert words.learning_rate != "auto", "the plan resolves every auto"
    return TrainingSettings(
        learning_rate=words.learning_rate,
        warmup_steps=words.warmup,
        schedule=words.schedule,
        held_images=words.decay_after,
        clip=words.clip,
        accumulate=words.accumulate,
        precision=resolve_precision(words.precision, torch.device(device)),
        seed=words.seed,
        bad_steps=words.bad_steps,
        compile=resolve_compile(words.compile, device, minutes=words.minutes, steps=_steps(recipe)),
    )


def build_until(recipe: Recipe) -> StoppingCriterion:
    """How long to train."""
    words = recipe.train
    return StoppingCriterion(
        steps=words.steps, images=words.images, minutes=words.minutes, least_steps=words.least_steps
    )


def build_every(recipe: Recipe, part: Validate | CheckpointInterval, what: str = "every") -> Every | None:
    """When something is due that `part` counts in steps or images, such as its `keep_every`; None where it does not.

    Epochs have become images in the plan.
    """
    steps, images = getattr(part, f"{what}_steps"), getattr(part, f"{what}_images")
    batch = recipe.train.global_batch
    if steps is not None:
        return Every(steps * batch, batch)
    return None if images is None else Every(images, batch)


def _steps(recipe: Recipe) -> int | None:
    """Length of a run in steps; None where it is measured in minutes."""
    words = recipe.train
    return words.steps if words.images is None else words.images // words.global_batch
