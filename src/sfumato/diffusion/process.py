"""The forms that every diffusion family shares.

A process corrupts data `x0` into `x_t` along a time that runs from 0 (data) to 1 (noise). A network looks at `x_t` and
its output is turned into an estimate `x0_hat` of the data. Everything pivots on `x0_hat`: samplers, guidance and losses
never see what the network predicts (noise, data, velocity, logits).

Randomness has one source, `sfumato.randomness.Noise`: item i of a batch depends on its seed alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, State, Times


class EncodedImages(NamedTuple):
    """What a network knows of images that it has seen (`networks.amortised`), one row for each.

    Attributes:
        features: in its own order and sizes.
        logits: (b, classes, *space) its own answer, without a state.
    """

    features: tuple[Tensor, ...]
    logits: Data

    def rows(self, rows: slice | Tensor) -> "EncodedImages":
        """What is known of some of the images."""
        return EncodedImages(tuple(each[rows] for each in self.features), self.logits[rows])

    def repeated(self, times: int) -> "EncodedImages":
        """Every image so many times, side by side; of a single image nothing is copied."""
        if times == 1:
            return self
        return EncodedImages(tuple(_repeated(each, times) for each in self.features), _repeated(self.logits, times))


def _repeated(values: Tensor, times: int) -> Tensor:
    if len(values) == 1:
        return values.expand(times, *values.shape[1:])
    return values.repeat_interleave(times, 0)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What the network may look at besides `x_t`.

    Attributes:
        image: conditioning image of the same spatial size as `x_t`, in [-1, 1] (segmentation, paired synthesis).
        label: class index of each item; the number of classes itself means 'no class'.
        augment: augmentation labels, zero when sampling.
        encoded: what a network that encodes images knows of them, in place of `image`.
        jump: how far down a straight path the answer is to carry, a difference of sigma; None: not at all. Only for
            networks that were taught to jump (`networks.jumps`).
        estimate_of: x0_hat from the network's output; asks such a network for all its `DrawAnswers`, in training.
    """

    image: Data | None = None
    label: Int[Tensor, " b"] | None = None
    augment: Float[Tensor, "b n"] | None = None
    encoded: EncodedImages | None = None
    jump: PerItem | None = None
    estimate_of: Callable[[Output], Data] | None = None

    def twice(self, unlabelled: int | None, *, drops_image: bool = False) -> "Condition":
        """This condition for a batch of two branches: as it is, then weaker.

        Args:
            unlabelled: the label of the second branch; None for a network without labels.
            drops_image: whether the image of the second branch is zeros.

        Raises:
            ValueError: nothing would be dropped.
        """
        if (self.label is None) != (unlabelled is None) or (unlabelled is None and not drops_image):
            raise ValueError("guidance needs class labels or an image to drop")
        image, label = self.image, self.label
        return replace(
            self,
            image=None if image is None else torch.cat([image, torch.zeros_like(image) if drops_image else image]),
            label=None if label is None else torch.cat([label, torch.full_like(label, unlabelled or 0)]),
            augment=None if self.augment is None else torch.cat([self.augment, self.augment]),
            jump=None if self.jump is None else torch.cat([self.jump, self.jump]),
        )


class DrawAnswers(NamedTuple):
    """All that a network that encodes images says of r draws of each of b images.

    Attributes:
        output: (b * r, out, *small) what `Process.estimate` reads.
        refined: (b * r, classes, *space) logits of each draw's mask.
        own: (b, classes, *space) logits of the image's mask, without a state.
    """

    output: Tensor
    refined: Tensor
    own: Tensor


@runtime_checkable
class Process(Protocol):
    """A diffusion family."""

    def channels(self, data: int) -> tuple[int, int]:
        """Channels of the network's state and of its output, for data of so many channels."""
        ...

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> State:
        """A state at time `t` at which nothing of the data is visible any more."""
        ...

    def times(self, u: PerItem) -> PerItem:
        """Training times: the quantile function of their distribution at `u` in (0, 1)."""
        ...

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> State:
        """x_t ~ q(x_t | x0)."""
        ...

    def log_marginal(self, x_t: State, x0: Data, t: Times) -> PerItem:
        """log q(x_t | x0), up to a constant that does not depend on x0."""
        ...

    def network_input(self, x_t: State, t: Times) -> tuple[State, PerItem]:
        """The standardised state and the noise level that the network is told."""
        ...

    def estimate(self, output: Output, x_t: State, t: Times) -> Output:
        """x0_hat from the network's output, in the channels of the data.

        A process may append channels that its own `reverse` needs (see `learned`); nobody else looks at them.
        """
        ...

    def loss(self, output: Output, x0: Data, x_t: State, t: Times) -> PerItem:
        """The weighted training loss of each item; no mean over the batch inside."""
        ...

    def reverse(self, x_t: State, x0_hat: Output, t: float, s: float, noise: Noise) -> State | Data:
        """x_s ~ q(x_s | x_t, x0 = x0_hat) for s < t."""
        ...

    def data(self, estimate: Output) -> Data:
        """What an estimate says of the data, without what it says of the way back (a learned variance)."""
        ...

    def guide(self, weak: Output, strong: Output, scale: float) -> Output:
        """The estimate that lies `scale` times as far from `weak` as `strong` does (see `guidance`)."""
        ...


@runtime_checkable
class Network(Protocol):
    """A neural network: standardised state, noise level, condition -> output."""

    def __call__(self, x: Data, level: PerItem, condition: Condition) -> Output:
        """One forward pass."""
        ...


@runtime_checkable
class Denoise(Protocol):
    """x_t, t, condition -> x0_hat. What samplers call."""

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """The estimate of the data."""
        ...


class Step(NamedTuple):
    """What a sampler yields after each step.

    Attributes:
        t: the time that `x` now has.
        x: the state, ready for the next step; at t = 0 the sample.
        x0: the estimate of the data that led here (what a preview shows).
    """

    t: float
    x: Data
    x0: Data
