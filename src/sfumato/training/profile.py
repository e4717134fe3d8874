"""Averages whose memory grows with the run: power-function profiles, and others made of those that were kept.

An average at time T (in images, or in steps) that gave the weights of time t the share

    p(t; T) = (g + 1) t^g / T^(g + 1),    0 <= t <= T                                                            (1)

is tracked by one moving average, which is exact over steps of constant weights. With t images after a step over dt,

    average <- beta average + (1 - beta) weights,    beta = (1 - dt / t)^(g + 1)                                 (2)

Its width is the standard deviation of (1) as a share of T, and k = width^-2 gives the exponent back:

    width = sqrt((g + 1) / ((g + 2)^2 (g + 3)))                                                                  (3)
    g^3 + 7 g^2 + (16 - k) g + (12 - k) = 0,    the largest root                                                 (4)

Averages are linear in the weights, so a sum of kept averages is one as well. That of the least distance to a wished
profile b has the shares x with

    A x = b,    A_ij = <p_i, p_j>,    b_i = <p_i, p>                                                             (5)
    <p_1, p_2> = (g_1 + 1) (g_2 + 1) (T_1 / T_2)^e / ((g_1 + g_2 + 1) max(T_1, T_2))                             (6)
    e = g_2 if T_1 < T_2 else -g_1

and then x / sum(x), so that weights that never moved stay. What remains is, relative to the profile's own norm,

    error^2 = (<p, p> - 2 x b + x A x) / <p, p>                                                                  (7)

Karras et al. 2024 (EDM2), section 3 and appendix C.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

PLAIN_MEAN_WIDTH = 12**-0.5
"""Width of the plain mean of all weights, g = 0."""


class Kept(NamedTuple):
    """A profile at a time.

    Attributes:
        time: T of (1), in any unit that is the same for all.
        width: see (3), between 0 and `PLAIN_MEAN_WIDTH`.
    """

    time: float
    width: float


class _Shares(NamedTuple):
    """How one average is made of others.

    Attributes:
        shares: x of (5), one for each kept average, adding up to 1.
        error: see (7).
    """

    shares: tuple[float, ...]
    error: float


@cache
def exponent(width: float) -> float:
    """The exponent g of a width, (4)."""
    k = width**-2
    return float(np.roots([1, 7, 16 - k, 12 - k]).real.max())


def width_of(g: float) -> float:
    """The width of an exponent, (3)."""
    return float(((g + 1) / ((g + 2) ** 2 * (g + 3))) ** 0.5)


def power_decay(images: int, *, width: float, batch: int) -> float:
    """The weight beta of the old average, (2).

    Args:
        images: images seen before this step.
        width: of the profile.
        batch: images of this step.

    Returns:
        A number in [0, 1); 0 at the first step, when the average becomes the weights.
    """
    share: float = (1 - batch / (images + batch)) ** (exponent(width) + 1)
    return share


def inner(first: Kept, second: Kept) -> float:
    """The inner product of two profiles over time, (6)."""
    (t_1, g_1), (t_2, g_2) = ((each.time, exponent(each.width)) for each in (first, second))
    e = g_2 if t_1 < t_2 else -g_1
    return float((g_1 + 1) * (g_2 + 1) * (t_1 / t_2) ** e / ((g_1 + g_2 + 1) * max(t_1, t_2)))


def reconstruct_average(kept: Sequence[Kept], wished: Kept) -> _Shares:
    """The sum of kept averages that is nearest to a wished one, (5), with its error, (7).

    Args:
        kept: what there is, at least one; no two are the same.
        wished: what there should have been; its time is that of the last kept average or later.
    """
    a = np.array([[inner(first, second) for second in kept] for first in kept])
    b = np.array([inner(each, wished) for each in kept])
    x = np.linalg.solve(a, b)
    x = x / x.sum()
    norm = inner(wished, wished)
    rest = (norm - 2 * x @ b + x @ a @ x) / norm
    return _Shares(tuple(x.tolist()), float(max(rest, 0.0) ** 0.5))
