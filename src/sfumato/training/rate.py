"""The learning rate of a step: a pure function of how far the run has come, so no scheduler has a state of its own.

With f the fraction of the run that is done, k the index of the step and n the images seen before it,

    rate = peak * min(1, (k + 1) / warm-up) * shape                                                              (1)

    constant        shape = 1
    cosine          shape = (1 + cos(pi f)) / 2                                                                  (2)
    onecycle        shape from 1/25 up to 1 while f < 0.3, then down to 1/250,000, each half a wave of a cosine  (3)
    inverse_sqrt    shape = 1 / sqrt(max(1, n / n_held))                                                         (4)

(3) is the cycle of Smith & Topin (2019, "Super-convergence") with the form and the numbers of PyTorch's `OneCycleLR`;
the momentum stays. (4) is EDM2's (Karras et al. 2024, appendix B.2), whose reference n_held may also be counted in
batches: n_held = batches * batch.
"""

import math
from typing import Literal

RateSchedule = Literal["cosine", "constant", "onecycle", "inverse_sqrt"]

_RISE, _FIRST, _LAST = 0.3, 1 / 25, 1 / 25e4
"""Of the one cycle: the share of the run in which the rate rises, and where it starts and ends."""


def learning_rate_at(
    fraction: float,
    step: int,
    images: int,
    *,
    peak: float,
    warmup_steps: int,
    schedule: RateSchedule,
    held_images: int | None = None,
) -> float:
    """The learning rate of a step, (1).

    Args:
        fraction: how much of the run is done, 0 to 1.
        step: index of the step, from 0.
        images: images seen before the step.
        peak: the highest rate.
        warmup_steps: number of steps until the rate is not held down any more.
        schedule: the shape, (2) to (4).
        held_images: n_held of `inverse_sqrt`: images until which the rate stays at its peak.
    """
    warmup = min(1.0, (step + 1) / max(warmup_steps, 1))
    return peak * warmup * _shape(schedule, fraction, images, held_images)


def _shape(schedule: RateSchedule, fraction: float, images: int, held_images: int | None) -> float:
    match schedule:
        case "constant":
            return 1.0
        case "cosine":
            return _wave(1.0, 0.0, fraction)
        case "onecycle":
            if fraction < _RISE:
                return _wave(_FIRST, 1.0, fraction / _RISE)
            return _wave(1.0, _LAST, (fraction - _RISE) / (1 - _RISE))
        case "inverse_sqrt":
            assert held_images is not None, "the recipe asks for train.decay_after with inverse_sqrt"
            return 1 / math.sqrt(max(1.0, images / held_images))


def _wave(start: float, end: float, fraction: float) -> float:
    """Half a wave of a cosine from `start` at fraction 0 to `end` at fraction 1."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
