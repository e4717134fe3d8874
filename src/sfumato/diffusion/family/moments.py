"""Mean and spread of the state of a Beta or Dirichlet process: what its network input is standardised with.

The state is ell = ln z - ln z_0 = ln G - ln G_0 of Gamma numbers with concentrations a x and eta - a x, a = eta alpha,
for a component alone in its group; the others count as background. For x uniform on [low, high], w = a (high - low):

    mean      m = E psi(a x) - E psi(eta - a x)                                                           (1)
              E psi(a x)        = [ln Gamma(a high) - ln Gamma(a low)] / w
              E psi(eta - a x)  = [ln Gamma(eta - a low) - ln Gamma(eta - a high)] / w
    variance  E psi'(a x) + E psi'(eta - a x) + Var[psi(a x) - psi(eta - a x)]                            (2)
              E psi'(a x)       = [psi(a high) - psi(a low)] / w
              E psi'(eta - a x) = [psi(eta - a low) - psi(eta - a high)] / w

The last term of (2) is a trapezoid sum. The reference takes Var psi(a x) + Var psi(eta - a x) instead, which leaves out
a covariance and makes the spread up to a fifth too small (`covariance="reference"`). There is one function, in double
precision, for training and for sampling, so that a network never sees a scale that it was not trained on.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

POINTS = 101
"""Of the trapezoid sum."""

_Numbers = Float[Tensor, " n"]


class _Moments(NamedTuple):
    """Of the state at each noise level."""

    mean: _Numbers
    std: _Numbers


def dirichlet_moments(
    log_alpha: _Numbers,
    *,
    eta: float,
    low: float,
    high: float,
    covariance: Literal["exact", "reference"] = "exact",
) -> _Moments:
    """Equations (1) and (2).

    Args:
        log_alpha: float64, ln of the signal left, at most 0.
        eta: concentration.
        low: smallest data, above 0.
        high: largest data, below 1.
        covariance: whether the terms of the last variance in (2) are taken together or, as in the reference, alone.
    """
    a = eta * log_alpha.exp()
    width = a * (high - low)
    foreground = (torch.lgamma(a * high) - torch.lgamma(a * low)) / width
    background = (torch.lgamma(eta - a * low) - torch.lgamma(eta - a * high)) / width
    within = (torch.digamma(a * high) - torch.digamma(a * low)) / width
    within = within + (torch.digamma(eta - a * low) - torch.digamma(eta - a * high)) / width
    ax = a[:, None] * torch.linspace(low, high, POINTS, dtype=a.dtype, device=a.device)
    up, down = torch.digamma(ax), torch.digamma(eta - ax)
    if covariance == "exact":
        between = _mean((up - down - (foreground - background)[:, None]) ** 2)
    else:
        between = (_mean(up**2) - foreground**2).clamp(min=0) + (_mean(down**2) - background**2).clamp(min=0)
    return _Moments(foreground - background, (within + between).sqrt())


def _mean(values: Float[Tensor, "n points"]) -> _Numbers:
    """Trapezoid mean over the last axis."""
    return torch.trapezoid(values, dim=1) / (POINTS - 1)
