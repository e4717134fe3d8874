"""The training loop: `for progress in training_loop(...)`.

It knows networks, losses and batches, not diffusion. A step is a pure function of what `TrainingState` holds and of
its number: the data come from `DataOrder`, random numbers of the loss from (seed, step, slot), dropout from torch's own
generator, which is seeded anew for every forward pass. So a run that is stopped between two steps and continued from a
checkpoint ends with the same bits. The gradient is the same for any number of processes and pieces
(`sfumato.training.gradient`); when memory runs out, the pieces are halved and the step begins again. A step whose loss
or gradient is not finite is passed over, by all processes alike; many of them end the run.

Under `torchrun` the caller initialises `torch.distributed` and every process builds, or restores, the same parts.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from sfumato.errors import SfumatoError, UsageError, listed
from sfumato.memory import out_of_memory
from sfumato.training.data_order import DataOrder
from sfumato.training.gradient import (
    Loss,
    MicroBatch,
    StepMeasures,
    backward,
    bad_rows,
    device_of,
    gradients_of,
    measure_step,
)
from sfumato.training.optimizer import set_rate
from sfumato.training.parts import TrainingState
from sfumato.training.precision import Precision
from sfumato.training.processes import rank, smallest, world
from sfumato.training.rate import RateSchedule, learning_rate_at
from sfumato.training.shard import is_sharded
from sfumato.typing import Constrained

WINDOW = 1000
"""Steps within which `TrainingSettings.bad_steps` are counted."""


@dataclass(frozen=True, kw_only=True)
class StoppingCriterion:
    """How long to train: steps or images, or minutes, or one of the former with minutes as a ceiling.

    The share of the run that is done is the larger of what the count says and what the clock says, so the learning rate
    comes to its end whichever ends the run:

        f = max(step / steps, min(minutes spent / minutes, step / least_steps))

    Attributes:
        steps: number of steps.
        images: number of images.
        minutes: time spent training, over all resumes. The learning rate then follows the clock, so two such runs are
            not equal bit for bit.
        least_steps: number of steps before which the clock ends no run.
    """

    steps: int | None = None
    images: int | None = None
    minutes: float | None = None
    least_steps: int | None = None

    def __post_init__(self) -> None:
        counted = [value for value in (self.steps, self.images) if value is not None]
        clocked = [value for value in (self.minutes, self.least_steps) if value is not None]
        alone = self.minutes is None and self.least_steps is not None
        if len(counted) > 1 or not (counted or clocked) or alone or min([*counted, *clocked]) <= 0:
            raise UsageError(
                "the length of the training is unclear",
                expected="steps or images, or minutes, or both, above 0; least_steps beside minutes",
            )

    def fraction(self, step: int, images: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1."""
        counted = [done / goal for done, goal in ((step, self.steps), (images, self.images)) if goal is not None]
        return min(1.0, max([*counted, self._by_clock(step, seconds)]))

    def _by_clock(self, step: int, seconds: float) -> float:
        """How much of the run is done by the clock; the floor of steps holds it back."""
        if self.minutes is None:
            return 0.0
        share = seconds / 60 / self.minutes
        return share if self.least_steps is None else min(share, step / self.least_steps)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train.

    Attributes:
        learning_rate: peak of the learning rate.
        warmup_steps: steps of linear warm-up.
        schedule: shape of the learning rate, see `sfumato.training.rate`.
        held_images: of `inverse_sqrt`, images until which the rate stays at its peak.
        clip: largest norm of the gradient.
        accumulate: pieces into which each process cuts its share of the batch.
        precision: see `resolve_precision`.
        seed: seed of dropout.
        compile: compile the network.
        bad_steps: steps with a loss or gradient that is not finite that are passed over within `WINDOW` steps; one
            more ends the training.
    """

    learning_rate: float = 2e-4
    warmup_steps: int = 500
    schedule: RateSchedule = "cosine"
    held_images: int | None = None
    clip: float = 1.0
    accumulate: int = 1
    precision: Precision = "fp32"
    seed: int = 0
    compile: bool = False
    bad_steps: int = 0


class Progress(NamedTuple):
    """What `training_loop` yields after each step.

    Attributes:
        step: number of steps done.
        images: number of images seen.
        seconds: time spent training, over all resumes; what the caller does between two steps does not count.
        fraction: how much of the run is done, 0 to 1.
        terms: mean of each loss term over the global batch of this step.
        learning_rate: of this step.
        gradient_norm: before clipping.
        accumulate: pieces into which each process cut its share of the batch.
        stopping: whether `stopping` was true in any process; all get the same answer.
        shrunk: whether memory ran out in this step, and the pieces are smaller since.
        bad_rows: rows of the dataset because of which the step was passed over.
    """

    step: int
    images: int
    seconds: float
    fraction: float
    terms: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    accumulate: int = 1
    stopping: bool = False
    shrunk: bool = False
    bad_rows: tuple[int, ...] = ()


class Diverged(SfumatoError):  # noqa: N818 - named for what happened
    """The loss or its gradient is not finite; the network was not updated with it.

    Attributes:
        step: index of the step, from 0.
        rows: rows of the dataset whose loss is not finite; all rows of the step if only the gradient is not.
    """

    def __init__(self, step: int, rows: Sequence[int]) -> None:
        super().__init__(
            f"training diverged in step {step}: loss or gradient is not finite for these rows of the dataset\n"
            + listed([str(row) for row in rows]),
            expected="finite numbers; the network was not updated with this step",
            remedy="look at these images; if they are fine, start a new --out with --set train.learning_rate=1e-4",
        )
        self.step, self.rows = step, tuple(rows)


def _never() -> bool:
    return False


def training_loop(
    parts: TrainingState,
    loss: Loss,
    data_order: DataOrder,
    *,
    until: StoppingCriterion,
    settings: TrainingSettings,
    stopping: Callable[[], bool] = _never,
) -> Iterator[Progress]:
    """Train, one step per item.

    Between two items `parts` is at the boundary of a step: stop asking, close the generator, or save a checkpoint.

    Args:
        parts: what is trained, in place; continues from `parts.step`.
        loss: the loss terms of a batch, one number per sample.
        data_order: which rows each step trains on.
        until: how long.
        settings: how.
        stopping: whether this process was asked to stop; asked once in a step, and told to all in `Progress.stopping`.

    Raises:
        Diverged: loss or gradient is not finite, and no more such steps are passed over; weights, average and optimiser
            are as they were after the last item.
        UsageError: there are more processes than samples in a batch.
    """
    if world() > data_order.batch:
        raise UsageError(f"a batch of {data_order.batch} for {world()} processes", expected="a sample for each process")
    network = cast(nn.Module, torch.compile(parts.network)) if settings.compile else parts.network
    clock = _Clock()
    while (fraction := until.fraction(parts.step, parts.step * data_order.batch, parts.seconds)) < 1:
        if parts.curriculum is not None:
            parts.curriculum.begin(fraction)
        rate = learning_rate_at(
            fraction,
            parts.step,
            parts.step * data_order.batch,
            peak=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            schedule=settings.schedule,
            held_images=settings.held_images,
        )
        measured, rows = _gradient(parts, network, loss, data_order, settings, clock, stopping)
        accumulate = _cut(parts, data_order, settings)
        if rows:
            _pass_over(parts, rows, settings)
        else:
            _update(parts, rate=rate, norms=measured.gradient_norms, settings=settings, batch=data_order.batch)
            if parts.curriculum is not None:
                parts.curriculum.observe(fraction, measured.terms)
        images = parts.step * data_order.batch
        fraction = until.fraction(parts.step, images, parts.seconds)
        stop, shrunk = measured.flags
        with clock.paused():
            yield Progress(
                parts.step,
                images,
                parts.seconds,
                fraction,
                measured.terms,
                rate,
                measured.gradient_norms[0],
                accumulate,
                stop,
                shrunk,
                rows,
            )


class _Clock:
    """Measures laps, pauses excluded."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self._since = self._since, time.perf_counter()
        return self._since - before

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside does not count."""
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began


def _gradient(
    parts: TrainingState,
    network: nn.Module,
    loss: Loss,
    data_order: DataOrder,
    settings: TrainingSettings,
    clock: _Clock,
    stopping: Callable[[], bool],
) -> tuple[StepMeasures, tuple[int, ...]]:
    """Leave the gradient of the step in the parameters, times the loss scale; repeat when float16 overflows.

    Returns:
        What was measured, and the rows because of which it is not finite.
    """
    before = parts.piece
    while True:
        scale = _scale(parts, settings)
        pieces = _backpropagated(parts, network, loss, data_order, settings, weight=scale / data_order.batch)
        measured = measure_step(
            [trained for trained, _ in parts.trained()],
            pieces,
            count=data_order.batch,
            scale=scale,
            seconds=clock.lap(),
            flags=(stopping(), parts.piece != before),
        )
        parts.seconds += measured.seconds
        if measured.flags[1]:
            parts.piece = smallest(parts.piece or data_order.batch)
        if measured.finite:
            return measured, ()
        overflow = settings.precision == "fp16" and math.isfinite(measured.terms["loss"])
        if not (overflow and parts.scale.shrink()):
            return measured, tuple(bad_rows(pieces)) or data_order.batch_at(parts.step)[0].rows


def _backpropagated(
    parts: TrainingState,
    network: nn.Module,
    loss: Loss,
    data_order: DataOrder,
    settings: TrainingSettings,
    *,
    weight: float,
) -> list[MicroBatch]:
    """All pieces of this process; half as large, and all of them again, when memory runs out."""
    while True:
        cut = _cut(parts, data_order, settings)
        batches = data_order.batch_at(parts.step, rank=rank(), world=world(), parts=cut)
        for trained, optimizer in parts.trained():
            optimizer.zero_grad()
            trained.train()
        try:
            return [
                backward(
                    network,
                    loss,
                    batch._replace(stage=parts.curriculum.stage if parts.curriculum else 0),
                    precision=settings.precision,
                    seed=settings.seed,
                    weight=weight,
                )
                for batch in batches
            ]
        except (RuntimeError, MemoryError) as error:
            largest = max(len(batch.slots) for batch in batches)
            if not out_of_memory(error) or largest == 1 or is_sharded(parts.network):
                raise
            parts.piece = (largest + 1) // 2
        if device_of(parts.network).type == "cuda":
            torch.cuda.empty_cache()


def _cut(parts: TrainingState, data_order: DataOrder, settings: TrainingSettings) -> int:
    """Pieces into which a process cuts its share: as many for each process, whose share may be larger by one sample."""
    share = math.ceil(data_order.batch / world())
    wanted = settings.accumulate if parts.piece is None else max(settings.accumulate, math.ceil(share / parts.piece))
    return min(wanted, data_order.batch // world()) if is_sharded(parts.network) else wanted


def _pass_over(parts: TrainingState, rows: tuple[int, ...], settings: TrainingSettings) -> None:
    """Go on to the next step, all else unchanged."""
    recent = [step for step in parts.skipped if step > parts.step - WINDOW]
    if len(recent) >= settings.bad_steps:
        raise Diverged(parts.step, rows)
    parts.step += 1
    parts.skipped.append(parts.step)


def _update(
    parts: TrainingState, *, rate: float, norms: Sequence[float], settings: TrainingSettings, batch: int
) -> None:
    """One step of the optimisers and of the averages."""
    for (network, optimizer), norm in zip(parts.trained(), norms, strict=True):
        shrink = min(1.0, settings.clip / max(norm, 1e-12)) / _scale(parts, settings)
        if shrink != 1:
            torch._foreach_mul_(gradients_of(network), shrink)
        set_rate(optimizer, rate)
        optimizer.step()
        if isinstance(network, Constrained):
            network.constrain()
    for average in (parts.ema, *parts.further):
        average.update(parts.network, images=parts.step * batch, batch=batch)
    parts.step += 1
    if settings.precision == "fp16":
        parts.scale.grow()


def _scale(parts: TrainingState, settings: TrainingSettings) -> float:
    return parts.scale.value if settings.precision == "fp16" else 1.0
