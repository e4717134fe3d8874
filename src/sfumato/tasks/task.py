"""What both jobs share: the form of a task, and how results are drawn from a model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.diffusion.catalogue import SAMPLERS
from sfumato.diffusion.process import Condition, Denoise, Noise, Process, Step, derive_seed
from sfumato.training.stream import Batch
from sfumato.typing import Data, PerItem

Scores = Mapping[str, float]


class Shown(NamedTuple):
    """One case to look at.

    Attributes:
        image: uint8 (h, w, c).
        mask: predicted class indices (h, w), None where images are made.
        reference: true class indices (h, w).
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    reference: np.ndarray | None = None


@runtime_checkable
class Task(Protocol):
    """A job that the training loop can work on."""

    def loss(self, network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Loss terms, one number per item each; `loss` is the weighted sum that is minimised."""
        ...

    def validate(self, network: nn.Module) -> Scores:
        """Scores on the validation split; `score` is the one that decides (larger is better)."""
        ...

    def preview(self, network: nn.Module) -> Sequence[Shown]:
        """What the model does now, a few cases of it."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler with everything but the model filled in.

    Attributes:
        name: its name in recipes.
        times: from the start down to 0.
        options: of its walk, such as `eta`.
    """

    name: str
    times: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Steps from noise to data."""
        return len(self.times) - 1

    @property
    def calls(self) -> int:
        """Network calls for one result."""
        return SAMPLERS[self.name].calls(self.steps)

    def __call__(
        self,
        process: Process,
        denoise: Denoise,
        like: Data,
        condition: Condition,
        noise: Noise,
        *,
        start: Data | None = None,
    ) -> Iterator[Step]:
        """The steps of one batch, from noise in the shape of `like`, or from `start`, an estimate x0_hat, corrupted."""
        t = self.times[0]
        x = process.prior(like, noise, t=t) if start is None else process.corrupt(start, t, noise)
        return SAMPLERS[self.name].walk(process, denoise, x, condition, noise, times=self.times, **self.options)


def batch_noise(seed: int, batch: Batch, device: str) -> Noise:
    """The generators of a training batch: what happens to slot j at step s follows from (seed, s, j) alone."""
    return Noise([derive_seed(seed, "train", batch.step, slot) for slot in batch.slots], device)


def stratified(noise: Noise, slots: Sequence[int], batch: int) -> PerItem:
    """Uniform numbers in (0, 1), one in each of `batch` equal intervals (low-discrepancy times, Kingma et al. 2021)."""
    u = noise.uniform()
    return ((u + u.new_tensor(list(slots))) / batch).clamp(1e-5, 1 - 1e-5)


def to_uint8(images: Data) -> np.ndarray:
    """Pictures (b, h, w, c) uint8 from [-1, 1], rounded as EDM does: clip(127.5 x + 128, 0, 255)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).movedim(1, -1).cpu().numpy()


Item = TypeVar("Item")


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, equally spaced."""
    if len(items) <= count:
        return list(items)
    return [items[k * len(items) // count] for k in range(count)]
