"""What both jobs share: the form of a task, and how results are drawn from a model."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from sfumato.diffusion.denoiser import Denoiser, SelfConditioned, with_estimate
from sfumato.diffusion.process import Condition, Denoise, Network, Process, Step
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.randomness import Noise, derive_seed
from sfumato.training.data_order import Batch
from sfumato.typing import Data, Output, PerItem, Times

Scores = Mapping[str, float]


class Shown(NamedTuple):
    """One case to look at.

    Attributes:
        image: uint8 (h, w, c); of a volume its planes in three directions, side by side.
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

    def control(self) -> tuple[str, float] | None:
        """What the best score is compared with: what it is of, and its value; None where validations say it."""
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
        options: of its sampling loop, such as `eta`.
        self_condition: channels of the data if the network is shown its last estimate of them; 0 if not.
        warm: whether it starts from an estimate of the data; else from noise.
        words: what it was built from, in the words of a recipe; those that are left open are None.
    """

    name: str
    times: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    self_condition: int = 0
    warm: bool = False
    words: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def steps(self) -> int:
        """Steps from noise to data."""
        return len(self.times) - 1

    @property
    def calls(self) -> int:
        """Network calls for one result."""
        return SAMPLERS[self.name].calls(self.steps)

    def below(self, t: float) -> "Sampler":
        """The same way from the time `t` on; its first own time is left out where it lies too near to `t`."""
        rest = [time for time in self.times if time < t]
        if len(rest) > 1 and t - rest[0] < (rest[0] - rest[1]) / 2:
            del rest[0]
        return replace(self, times=(t, *rest))

    def remembering(self, denoise: Denoise) -> Denoise:
        """The denoiser for one sampling loop; it remembers its last estimate if the network is shown that."""
        return SelfConditioned(denoise, self.self_condition) if self.self_condition else denoise

    def sampling_loop(
        self, process: Process, denoise: Denoise, x: Data, condition: Condition, noise: Noise
    ) -> Iterator[Step]:
        """The steps of one batch from `x`, its state at the first time."""
        return SAMPLERS[self.name].sampling_loop(
            process, denoise, x, condition, noise, times=self.times, **self.options
        )

    def __call__(
        self,
        process: Process,
        denoise: Denoise,
        like: Data,
        condition: Condition,
        noise: Noise,
        *,
        start: Output | None = None,
    ) -> Iterator[Step]:
        """The steps of one batch, from noise in the shape of `like`, or from `start`, an estimate x0_hat, corrupted.

        Raises:
            ValueError: a warm sampler without a start.
        """
        if self.warm and start is None:
            raise ValueError("this sampler starts from an estimate of the data; give it one as `start`")
        t = self.times[0]
        x = process.prior(like, noise, t=t) if start is None else process.corrupt(start, t, noise)
        return self.sampling_loop(process, denoise, x, condition, noise)


def batch_noise(seed: int, batch: Batch, device: str) -> Noise:
    """The generators of a training batch: what happens to slot j at step s follows from (seed, s, j) alone."""
    # 32 bits: a generator is made in a third of the time, and in training it does no harm if two are alike.
    return Noise([derive_seed(seed, "train", batch.step, slot) % 2**32 for slot in batch.slots], device)


def stratified(noise: Noise, slots: Sequence[int], batch: int) -> PerItem:
    """Uniform numbers in (0, 1), one in each of `batch` equal intervals (low-discrepancy times, Kingma et al. 2021)."""
    u = noise.uniform()
    return ((u + u.new_tensor(list(slots))) / batch).clamp(1e-5, 1 - 1e-5)


@torch.no_grad()
def first_estimate(
    process: Process, network: Network, x_t: Data, t: Times, condition: Condition, *, self_condition: int
) -> Output:
    """What the network says before it has seen an estimate of its own; without gradient.

    Args:
        process: the process.
        network: the network.
        x_t: the state.
        t: its time.
        condition: without an estimate.
        self_condition: channels of the data if the network is shown an estimate of them, here zeros; 0 if not.
    """
    if self_condition:
        condition = with_estimate(condition, x_t.new_zeros(len(x_t), self_condition, *x_t.shape[2:]))
    return Denoiser(process, network)(x_t, t, condition)


def self_conditioned(x0_hat: Output, condition: Condition, noise: Noise, *, share: float) -> Condition:
    """The condition with the first estimate for a share of the items, with zeros for the others (Chen et al. 2023)."""
    return with_estimate(condition, torch.where(random_share(noise, x0_hat, share=share), x0_hat, 0.0))


def random_share(noise: Noise, like: Output, *, share: float) -> Tensor:
    """Whether each item is one of a share of all, in a shape that broadcasts over `like`."""
    return (noise.uniform() < share).view(-1, *[1] * (like.ndim - 1))


def last(steps: Iterator[Step]) -> Step:
    """The last step; the others are dropped as they come, so memory does not grow with their number."""
    return deque(steps, maxlen=1).pop()


def to_uint8(images: Data) -> np.ndarray:
    """Pictures (b, h, w, c) uint8 from [-1, 1], rounded as EDM does: clip(127.5 x + 128, 0, 255)."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8).movedim(1, -1).cpu().numpy()
