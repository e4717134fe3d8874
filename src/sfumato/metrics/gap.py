"""Does a model learn its training images by heart? The gap between its losses on new images and on those it knows.

With l_k the denoising loss of held-out image k and m_k that of a training image at the same noise and noise level,

    gap = mean(l - m),    relative gap = gap / mean(l).                                                    (1)

A model that has learned what images are like has a gap near 0; one that knows its training images denoises them better
than it can denoise others, long before it draws copies. What noise and noise levels do cancels in the differences. A
training image that is paired several times counts once in the standard error: with d_g the mean difference of training
image g of G,

    error = sd(d) / sqrt(G).                                                                               (2)
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Integer

RELATIVE = 0.2
"""Relative gap from which a model is said to learn by heart. Measured on chest radiographs: at most 0.11 where no image
drawn was a copy, 0.5 where a third were."""

_ERRORS = 2.0
"""The gap less so many standard errors must be above it, too: few images say little."""


class Gap(NamedTuple):
    """Equation (1) and its standard error (2), nan for a single training image."""

    value: float
    error: float


def paired_gap(
    held_out: Float[np.ndarray, " n"], known: Float[np.ndarray, " n"], images: Integer[np.ndarray, " n"]
) -> Gap:
    """The gap of losses at the same noise.

    Args:
        held_out: losses of held-out images.
        known: losses of training images, each at the noise of the held-out one in its place.
        images: which training image each of these is.
    """
    difference = held_out.astype(np.float64) - known
    _, group = np.unique(images, return_inverse=True)
    means = np.bincount(group, difference) / np.bincount(group)
    error = float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    return Gap(float(difference.mean()), error)


def learned_by_heart(scores: Mapping[str, float]) -> str | None:
    """The warning for a person, or None; from the scores of a validation.

    Args:
        scores: with `gap`, `gap_error` and `loss_held_out` where images are made.
    """
    gap, error, loss = (scores.get(name, float("nan")) for name in ("gap", "gap_error", "loss_held_out"))
    if not gap - _ERRORS * error > RELATIVE * loss:
        return None
    return (
        f"training images have a {gap / loss:.0%} lower loss than images that training never saw: the model learns "
        "them by heart, or the held-out images are of another kind; look for copies among what it draws; an earlier "
        "checkpoint, augmentation, more images or a smaller network copy less"
    )
