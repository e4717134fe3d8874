"""Logarithms of Gamma numbers, one generator per item: exact for every concentration a > 0, and fast.

A Gamma number of a small concentration underflows (ln G is about -1 / a), so only logarithms are kept. With a unit
normal number x, a uniform number u, d = a - 1/3 and y = x / sqrt(9 d), Marsaglia & Tsang (2000) draw for a >= 1

    G = d (1 + y)^3,   accepted if ln u < h(y),   h(y) = d (3 ln(1 + y) - 3 y + 3 y^2 / 2 - y^3)           (1)

and a number of any concentration is one of a + 1 lowered,

    ln G(a) = ln G(a + 1) + ln(u') / a.                                                                   (2)

The series of ln(1 + y) begins with the polynomial in (1), hence for y > -1

    0 >= h(y) >= -w(y),   w(y) = 3/4 d y^4 / (1 + min(y, 0))                                               (3)

and u <= 1 - w is accepted without a logarithm: nearly always where a is large. Normal and uniform numbers have the
23 bits or so of single precision; ln G is in double precision.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

Concentration = Float[Tensor, "b n"]
Generators = Sequence[torch.Generator]

PROPOSALS = 3
"""How many are drawn at once for a number that was rejected: more than one such round is rare."""

ROUNDS = 100
"""No number is rejected so often, but a concentration that is none would be for ever."""


def log_gamma(concentration: Concentration, generators: Generators) -> Concentration:
    """Ln G, G ~ Gamma(concentration, 1).

    Args:
        concentration: float64 numbers >= 0; of 0 the result is -infinity.
        generators: one CPU generator for each row. What a row draws depends on the row alone.

    Returns:
        Numbers of the same shape, on the same device.
    """
    lowered = concentration.amin(1) < 1
    if not lowered.any():
        return _marsaglia_tsang(concentration, generators)
    raised = lowered.to(concentration.dtype)[:, None]
    log_uniform = _uniform(concentration, generators, lowered.tolist()).double().log_()
    return log_uniform.div_(concentration).mul_(raised).add_(_marsaglia_tsang(concentration + raised, generators))


def _marsaglia_tsang(concentration: Concentration, generators: Generators) -> Concentration:
    """Equations (1) and (3), for concentrations >= 1."""
    d = concentration - 1 / 3
    d_single = d.float()
    y = _normal(concentration, generators).mul_((d_single * 9).rsqrt_())
    u = _uniform(concentration, generators)
    w = (y * y).square_().mul_(d_single).mul_(0.75).div_(y.clamp(-1 + 1e-6, 0).add_(1))
    one_plus = y.double().add_(1)
    log_drawn = (one_plus * one_plus).mul_(one_plus).mul_(d).log_()
    doubtful = w.add_(u).sub_(1 - 1e-6).relu_().flatten().nonzero().squeeze(1)
    kept = _accepted(u.flatten()[doubtful].double(), y.flatten()[doubtful].double(), d.flatten()[doubtful])
    _redraw(log_drawn, d, doubtful[~kept], generators)
    return log_drawn


def _redraw(log_drawn: Concentration, d: Concentration, rejected: Int[Tensor, " m"], generators: Generators) -> None:
    """Write logarithms of accepted numbers to the rejected places of the flattened array."""
    flat, rows = log_drawn.view(-1), log_drawn.shape[1]
    for _ in range(ROUNDS):
        if len(rejected) == 0:
            return
        wanted = torch.bincount(rejected // rows, minlength=len(generators)).tolist()
        x, u = (
            torch.cat([draw(count, PROPOSALS, generator=g) for count, g in zip(wanted, generators, strict=True)])
            for draw in (torch.randn, torch.rand)
        )
        of = d.flatten()[rejected, None]
        y = x.to(d) / (9 * of).sqrt()
        accepted = _accepted(u.to(d), y, of)
        first = y.gather(1, accepted.byte().argmax(1, keepdim=True))
        # A place without an accepted proposal is written too, and again in the next round.
        flat[rejected] = (of.log() + 3 * first.log1p()).squeeze(1)
        rejected = rejected[~accepted.any(1)]
    raise ValueError("a Gamma number needs a concentration that is a number, at least 0")


def _accepted(u: Tensor, y: Tensor, d: Tensor) -> Tensor:
    """The test of (1); false for y <= -1, whose logarithm is not a number."""
    return u.log() < d * (3 * (y.log1p() - y) + y**2 * (1.5 - y))


def _normal(like: Concentration, generators: Generators) -> Float[Tensor, "b n"]:
    """Unit normal numbers."""
    drawn = torch.empty(like.shape)
    for row, generator in zip(drawn, generators, strict=True):
        row.normal_(generator=generator)
    return drawn.to(like.device, non_blocking=True)


def _uniform(like: Concentration, generators: Generators, wanted: Sequence[bool] | None = None) -> Float[Tensor, "b n"]:
    """Uniform numbers inside (0, 1), two out of each word of a generator; 1/2 in a row that wants none."""
    words = torch.zeros(len(like), (like.shape[1] + 1) // 2, dtype=torch.int64)
    for i, generator in enumerate(generators):
        if wanted is None or wanted[i]:
            words[i].random_(-(2**63), None, generator=generator)
    halves = words.to(like.device, non_blocking=True).view(torch.int32)[:, : like.shape[1]]
    return (halves >> 9).float().add_(2**22 + 0.5).mul_(2.0**-23)
