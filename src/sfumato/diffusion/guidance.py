"""Guidance: a denoiser around a denoiser, which moves an estimate away from a weaker one.

    x0_hat = weak + scale (strong - weak)          scale 1 means none                                     (1)

The weak estimate is that of the same network without the class, and without the mask that an image is made from
(classifier-free guidance, Ho & Salimans 2022), or that of a weaker network with the same class: an earlier snapshot or
a smaller model (autoguidance, Karras et al. 2024). Guidance may be limited to noise-to-signal ratios s in an interval
(low, high]; elsewhere the estimate is the strong one and the weak one is not computed (Kynkäänniemi et al. 2024): at
high noise guidance throws away variety, at low noise it does nothing.

Where an estimate is a probability, (1) is taken of its logits, which is the same product of densities and stays within
bounds. A process says which of the two holds for it (`Process.guide`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from sfumato.diffusion.level.schedule import NoiseLevels
from sfumato.diffusion.process import Condition, Denoise, Network, Process
from sfumato.typing import Data, Output

SMALLEST = 1e-20
"""A probability below it counts as this: its logarithm stays finite."""

_Interval = tuple[float, float]
"""Noise-to-signal ratios s with low < s <= high."""

EVERYWHERE: _Interval = (0.0, math.inf)
"""All noise levels."""

_LARGEST = 1e12
"""A ratio above it counts as this: its time stays finite."""


def guide_linear(weak: Data, strong: Data, scale: float) -> Data:
    """Equation (1): for estimates that are a linear function of noise, data, score or velocity."""
    return torch.lerp(weak, strong, scale)


def guide_one_hot(weak: Data, strong: Data, scale: float) -> Data:
    """Equation (1) of the log-probabilities of classes (axis 1), given as one-hot masks in [-1, 1]."""
    return 2 * torch.lerp(_log_probability(weak), _log_probability(strong), scale).softmax(1) - 1


def guide_unit(weak: Data, strong: Data, scale: float) -> Data:
    """Equation (1) of the logits of brightness, each channel a share of [-1, 1]."""
    return 2 * torch.lerp(_logit(weak), _logit(strong), scale).sigmoid() - 1


def _logit(x0_hat: Data) -> Data:
    return _log_probability(x0_hat) - _log_probability(-x0_hat)


def _log_probability(x0_hat: Data) -> Data:
    return ((x0_hat + 1) / 2).clamp(min=SMALLEST).log()


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance; both branches are one batch, so the network is called once.

    Args:
        process: says how estimates are combined.
        denoise: the denoiser to guide; trained with labels dropped.
        scale: guidance weight; 0 is unconditional, 1 conditional.
        unlabelled: the label that means 'no class', i.e. the number of classes; None for a network without labels.
        interval: the ratios at which to guide.
        drops_image: whether the image of the condition is dropped too: the network was trained with zeros in its place.

    Raises:
        ValueError: the interval is empty, or the process has no noise levels.
    """

    process: Process
    denoise: Denoise
    scale: float
    unlabelled: int | None
    interval: _Interval = EVERYWHERE
    drops_image: bool = False
    times: _Interval = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", times_of(self.process, self.interval))

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """The guided estimate."""
        if self.scale == 1 or not self.times[0] < t <= self.times[1]:
            return self.denoise(x_t, t, condition)
        branches = condition.twice(self.unlabelled, drops_image=self.drops_image)
        both = self.denoise(torch.cat([x_t, x_t]), t, branches)
        strong, weak = both.chunk(2)
        return self.process.guide(weak, strong, self.scale)


@dataclass(frozen=True)
class Autoguided:
    """Autoguidance: away from a weaker network that sees the same condition, image and label alike.

    Args:
        process: says how estimates are combined.
        denoise: the denoiser to guide.
        weak: an earlier or smaller one of the same process and data.
        scale: guidance weight; 0 is the weak denoiser, 1 the strong one.
        interval: the ratios at which to guide.

    Raises:
        ValueError: the interval is empty, or the process has no noise levels.
    """

    process: Process
    denoise: Denoise
    weak: Denoise
    scale: float
    interval: _Interval = EVERYWHERE
    times: _Interval = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times", times_of(self.process, self.interval))

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """The guided estimate."""
        strong = self.denoise(x_t, t, condition)
        if self.scale == 1 or not self.times[0] < t <= self.times[1]:
            return strong
        return self.process.guide(self.weak(x_t, t, condition), strong, self.scale)


def times_of(process: Process, interval: _Interval) -> _Interval:
    """The times at which the noise-to-signal ratio of a process lies in the interval: low < t <= high.

    Raises:
        ValueError: the interval is empty, or the process has no noise levels.
    """
    low, high = interval
    if not 0 <= low < high:
        raise ValueError(f"the guidance interval ({low:g}, {high:g}] is empty; give ratios 0 <= low < high")
    if interval == EVERYWHERE:
        return interval
    schedule = getattr(process, "schedule", None)
    if not isinstance(schedule, NoiseLevels):
        raise ValueError(f"{type(process).__name__} has no noise levels on which guidance could be limited")
    first, last = schedule.time(torch.tensor([low, min(high, _LARGEST)], dtype=torch.float64)).tolist()
    return first, last


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Everything about guidance but the model that is guided.

    Args:
        scale: guidance weight, 1 = none.
        interval: the ratios at which to guide.
        weak: the network of autoguidance; None for classifier-free guidance.
        weak_id: what identifies that network, such as the sha256 of its weights.
    """

    scale: float = 1.0
    interval: _Interval = EVERYWHERE
    weak: Network | None = None
    weak_id: str = ""

    def around(
        self,
        process: Process,
        network: Network,
        make: Callable[[Network], Denoise],
        *,
        unlabelled: int | None = None,
        drops_image: bool = False,
    ) -> Denoise:
        """The guided denoiser of a network.

        Args:
            process: of the network, and of the weak one.
            network: the network.
            make: the denoiser of a network, for both.
            unlabelled: the label that means 'no class'; None for a network without labels.
            drops_image: whether the network was trained with zeros in place of some images of the condition.

        Raises:
            ValueError: there is neither a class nor an image to drop nor a weak network; see also `times_of`.
        """
        strong = make(network)
        if self.scale == 1:
            return strong
        if self.weak is not None:
            return Autoguided(process, strong, make(self.weak), self.scale, self.interval)
        if unlabelled is None and not drops_image:
            raise ValueError("guidance needs classes to drop, or a weaker network")
        return Guided(process, strong, self.scale, unlabelled, self.interval, drops_image)


UNGUIDED = Guidance()
"""The model as trained."""
