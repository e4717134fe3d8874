"""The training loop: `for progress in train(...)`.

It knows networks, losses and batches, not diffusion. A step is a pure function of what `Parts` holds and of its number:
the data come from `Stream`, random numbers of the loss from (seed, step, slot), dropout from torch's own generator,
which is seeded anew for every forward pass. So a run that is stopped between two steps and continued from a checkpoint
ends with the same bits. The mathematics of a batch is the same for any number of processes and pieces: each
backpropagates the sum of its losses divided by the size of the global batch, and the gradients are added.

Under `torchrun` the caller initialises `torch.distributed` and every process builds, or restores, the same parts.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from sfumato.diffusion.process import derive_seed
from sfumato.errors import SfumatoError, UsageError, listed
from sfumato.training.checkpoint import Checkpoint
from sfumato.training.ema import EMA
from sfumato.training.optimizer import Schedule, learning_rate_at, optimizer_tensors, restore_optimizer
from sfumato.training.precision import LossScale, Precision, autocast
from sfumato.training.processes import add_up, gather, rank, world
from sfumato.training.stream import Batch, Stream
from sfumato.training.weights import fill

Loss = Callable[[nn.Module, Batch], Mapping[str, Tensor]]
"""Network (in training mode, perhaps compiled) and batch -> loss terms of shape (b,); `loss` is their weighted sum."""


@dataclass(frozen=True, kw_only=True)
class Until:
    """How long to train: exactly one of the three.

    Attributes:
        steps: number of steps.
        images: number of images.
        minutes: time spent training, over all resumes. The learning rate then follows the clock, so two such runs are
            not equal bit for bit.
    """

    steps: int | None = None
    images: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.steps, self.images, self.minutes) if value is not None]
        if len(given) != 1 or given[0] <= 0:
            raise UsageError("the length of the training is unclear", expected="one of steps, images, minutes, above 0")

    def fraction(self, step: int, images: int, seconds: float) -> float:
        """How much of the run is done, 0 to 1."""
        done = [(step, self.steps), (images, self.images), (seconds / 60, self.minutes)]
        return min(1.0, next(value / goal for value, goal in done if goal is not None))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to train.

    Attributes:
        learning_rate: peak of the learning rate.
        warmup_steps: steps of linear warm-up.
        schedule: `cosine` or `constant`.
        clip: largest norm of the gradient.
        accumulate: pieces into which each process cuts its share of the batch.
        precision: see `resolve_precision`.
        seed: seed of dropout.
        compile: compile the network.
    """

    learning_rate: float = 2e-4
    warmup_steps: int = 500
    schedule: Schedule = "cosine"
    clip: float = 1.0
    accumulate: int = 1
    precision: Precision = "fp32"
    seed: int = 0
    compile: bool = False


@dataclass
class Parts:
    """Everything that training changes, and so everything that a checkpoint holds.

    Attributes:
        network: the trained network, not compiled or wrapped.
        ema: its average.
        optimizer: over the network's parameters.
        step: number of steps done.
        seconds: time spent training.
        best: what the caller wants to remember about the best checkpoint; JSON.
        scale: scale of a float16 loss.
    """

    network: nn.Module
    ema: EMA
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: dict[str, Any] = field(default_factory=dict)
    scale: LossScale = field(default_factory=LossScale)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """For `checkpoint.save`: file stem -> name -> tensor."""
        return {
            "model": dict(self.network.state_dict()),
            "ema": self.ema.state_dict(),
            "optimizer": optimizer_tensors(self.network, self.optimizer),
        }

    def state(self) -> dict[str, Any]:
        """For `checkpoint.save`: the rest, as JSON."""
        return {"step": self.step, "seconds": self.seconds, "best": self.best, "scale": asdict(self.scale)}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint.

        Raises:
            ModelError: it is of another network.
        """
        fill(self.network, checkpoint.tensors["model"], source=f"{checkpoint.path}/model")
        fill(self.ema.network, checkpoint.tensors["ema"], source=f"{checkpoint.path}/ema")
        restore_optimizer(self.network, self.optimizer, checkpoint.tensors["optimizer"])
        state = checkpoint.state
        self.step, self.seconds, self.best = state["step"], state["seconds"], dict(state["best"])
        self.scale = LossScale(**state["scale"])


class Progress(NamedTuple):
    """What `train` yields after each step.

    Attributes:
        step: number of steps done.
        images: number of images seen.
        seconds: time spent training, over all resumes; what the caller does between two steps does not count.
        fraction: how much of the run is done, 0 to 1.
        terms: mean of each loss term over the global batch of this step.
        learning_rate: of this step.
        gradient_norm: before clipping.
    """

    step: int
    images: int
    seconds: float
    fraction: float
    terms: Mapping[str, float]
    learning_rate: float
    gradient_norm: float


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


def train(parts: Parts, loss: Loss, stream: Stream, *, until: Until, settings: Settings) -> Iterator[Progress]:
    """Train, one step per item.

    Between two items `parts` is at the boundary of a step: stop asking, close the generator, or save a checkpoint.

    Args:
        parts: what is trained, in place; continues from `parts.step`.
        loss: the loss terms of a batch, one number per sample.
        stream: which rows each step trains on.
        until: how long.
        settings: how.

    Raises:
        Diverged: loss or gradient is not finite; weights, average and optimiser are as they were after the last item.
        UsageError: there are more processes than samples in a batch.
    """
    if world() > stream.batch:
        raise UsageError(f"a batch of {stream.batch} for {world()} processes", expected="a sample for each process")
    network = cast(nn.Module, torch.compile(parts.network)) if settings.compile else parts.network
    clock = _Clock()
    while (fraction := until.fraction(parts.step, parts.step * stream.batch, parts.seconds)) < 1:
        rate = learning_rate_at(
            fraction,
            parts.step,
            peak=settings.learning_rate,
            warmup_steps=settings.warmup_steps,
            schedule=settings.schedule,
        )
        measured = _finite_gradient(parts, network, loss, stream, settings, clock)
        _update(parts, rate=rate, norm=measured.gradient_norm, settings=settings, batch=stream.batch)
        images = parts.step * stream.batch
        fraction = until.fraction(parts.step, images, parts.seconds)
        with clock.paused():
            yield Progress(parts.step, images, parts.seconds, fraction, measured.terms, rate, measured.gradient_norm)


class _Measured(NamedTuple):
    """Global means of a step's loss terms, the norm of its gradient, and the seconds since the last measurement."""

    terms: dict[str, float]
    gradient_norm: float
    seconds: float


class _Piece(NamedTuple):
    """A micro-batch and its loss terms, detached."""

    batch: Batch
    terms: dict[str, Tensor]


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


def _finite_gradient(
    parts: Parts, network: nn.Module, loss: Loss, stream: Stream, settings: Settings, clock: _Clock
) -> _Measured:
    """Leave the gradient of the step in the parameters, times the loss scale; repeat when float16 overflows."""
    batches = stream.batch_at(parts.step, rank=rank(), world=world(), parts=settings.accumulate)
    while True:
        scale = _scale(parts, settings)
        parts.optimizer.zero_grad()
        parts.network.train()
        pieces = [_backward(network, loss, batch, settings=settings, weight=scale / stream.batch) for batch in batches]
        measured = _measure(parts.network, pieces, seconds=clock.lap(), count=stream.batch, scale=scale)
        parts.seconds += measured.seconds
        if math.isfinite(measured.terms["loss"]) and math.isfinite(measured.gradient_norm):
            return measured
        overflow = settings.precision == "fp16" and math.isfinite(measured.terms["loss"])
        if not (overflow and parts.scale.shrink()):
            raise Diverged(parts.step, _bad_rows(pieces) or stream.batch_at(parts.step)[0].rows)


def _backward(network: nn.Module, loss: Loss, batch: Batch, *, settings: Settings, weight: float) -> _Piece:
    """Add the gradient of `weight` times the summed loss of a micro-batch."""
    device = _device(network)
    torch.manual_seed(derive_seed(settings.seed, "dropout", batch.step, batch.slots[0]))
    with autocast(settings.precision, device):
        terms = loss(network, batch)
    wrong = {name: tuple(term.shape) for name, term in terms.items() if term.shape != (len(batch.rows),)}
    if wrong:
        raise ValueError(f"loss terms need the shape ({len(batch.rows)},), one number per sample: {wrong}")
    torch.autograd.backward(terms["loss"].float().sum() * weight)
    return _Piece(batch, {name: term.detach().float() for name, term in terms.items()})


def _measure(network: nn.Module, pieces: Sequence[_Piece], *, seconds: float, count: int, scale: float) -> _Measured:
    """Add gradients and terms of all processes, and ask the device for numbers: once in a step."""
    gradients = _gradients(network)
    names = list(pieces[0].terms)
    sums = [torch.stack([piece.terms[name].sum() for piece in pieces]).sum() for name in names]
    lap = torch.tensor(seconds if rank() == 0 else 0.0, device=sums[0].device)
    totals = add_up(gradients, torch.stack([*sums, lap]))
    norm = nn.utils.get_total_norm(gradients)
    *values, seconds, scaled_norm = torch.cat([totals, norm.reshape(1)]).tolist()
    means = {name: value / count for name, value in zip(names, values, strict=True)}
    return _Measured(means, scaled_norm / scale, seconds)


def _gradients(network: nn.Module) -> list[Tensor]:
    """The gradients; zero where a parameter took no part, so that every process and every split of work agrees."""
    gradients = []
    for parameter in network.parameters():
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    return gradients


def _update(parts: Parts, *, rate: float, norm: float, settings: Settings, batch: int) -> None:
    """One step of the optimiser and of the average."""
    shrink = min(1.0, settings.clip / max(norm, 1e-12)) / _scale(parts, settings)
    if shrink != 1:
        torch._foreach_mul_(_gradients(parts.network), shrink)
    for group in parts.optimizer.param_groups:
        group["lr"] = rate
    parts.optimizer.step()
    parts.ema.update(parts.network, images=parts.step * batch, batch=batch)
    parts.step += 1
    if settings.precision == "fp16":
        parts.scale.grow()


def _bad_rows(pieces: Sequence[_Piece]) -> list[int]:
    """Rows of the dataset, over all processes, whose loss is not finite."""
    pairs = [pair for batch, terms in pieces for pair in zip(batch.rows, terms["loss"].tolist(), strict=True)]
    return gather([row for row, value in pairs if not math.isfinite(value)])


def _scale(parts: Parts, settings: Settings) -> float:
    return parts.scale.value if settings.precision == "fp16" else 1.0


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
