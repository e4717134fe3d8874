"""Divergences between two laws of the Beta and Dirichlet processes: what those processes are trained with.

Given data x, both laws of the process are Dirichlet laws over k foreground components and the background. With
r = sum_k x_k, noise levels alpha_t < alpha_s and delta = alpha_s - alpha_t their concentrations are

    conditional, of z_s given z_t:   (eta delta x_1, ..., eta delta x_k,  eta (1 - alpha_s r))            (1)
    marginal, of z_t:                (eta alpha_t x_1, ..., eta alpha_t x_k,  eta (1 - alpha_t r))        (2)

and k = 1 is Beta diffusion. The Kullback-Leibler divergence of two Dirichlet laws is made of those of Gamma laws:

    KLg(a, b) = (a - b) psi(a) - ln Gamma(a) + ln Gamma(b)                                                (3)
    KL(Dir(a) || Dir(b)) = sum_i KLg(a_i, b_i) - KLg(sum a, sum b)                                        (4)

The losses weigh (4) of (1) and of (2). KLUB is KL(law of x0_hat || law of x0): a Bregman divergence whose minimiser is
the posterior mean of x0 at every noise level. ELBO, which the Beta Diffusion code calls KLUB_AS, swaps the arguments;
its minimiser is not the mean, and on masks it is far from it. HKD adds to KLUB a Hoelder divergence of p = eta delta x0
and q = eta delta x0_hat across the groups (colour channels) of a pixel. With exponents a, b such that 1/a + 1/b = 1:

    F(v) = sum_c ln Gamma(v_c + 1/2) - ln Gamma(sum_c (v_c + 1/2))                                        (5)
    h(a, b) = F(a p) / a + F(b q) / b - F(p + q),    HPD = (h(a, b) + h(b, a)) / 2                        (6)

It looks at proportions and is nearly blind to a common factor; a single group gives exactly 0. Smoothing is about
S(z) = sum_c (z_{c+1} - z_c)^2 across groups, whose mean under Dir(a) with A = sum a is

    E S = sum_c [a_c (a_c + 1) + a_{c+1} (a_{c+1} + 1) - 2 a_c a_{c+1}] / (A (A + 1))                     (7)

Sources: Zhou et al. 2023 (Beta Diffusion: KLUB, ELBO), Nielsen et al. 2017 (Hoelder divergences), the published
implementation of Smoothed Dirichlet Diffusion (HKD, smoothing, weights).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.typing import PerItem

DivergenceKind = Literal[
    "klub", "hkd", "elbo", "klub_marginal", "klub_conditional", "elbo_marginal", "elbo_conditional", "l1", "l2"
]
Foreground = Float[Tensor, "b groups k *space"]
"""Foreground components of every group of every pixel; positive, and their sum over k is below 1."""

Concentrations = Float[Tensor, "b groups n *space"]
"""Dirichlet concentrations of n = k + 1 components, the background last."""

_Level = Float[Tensor, "#b #groups #k *#space"]
"""A number for each item, in a shape that broadcasts over the foreground."""

PerElement = Float[Tensor, "b groups *space"]

EXPONENT = 1.8
"""Of the Hoelder divergence; its conjugate is 2.25."""

FACTOR_RATE = 2e-6
"""Of S in the smoothing factor."""


class DivergenceWeights(NamedTuple):
    """What each divergence counts.

    Attributes:
        conditional: of the Kullback-Leibler divergence of the conditional laws (1).
        marginal: of that of the marginal laws (2).
        hoelder: of the Hoelder divergence (6), which is summed over components and counts in every group.
    """

    conditional: float
    marginal: float
    hoelder: float = 0.0


class Laws(NamedTuple):
    """The concentrations (1) and (2) that belong to one image."""

    conditional: Concentrations
    marginal: Concentrations


BETA_DIFFUSION = DivergenceWeights(0.99, 0.01)
"""The weights of Beta Diffusion, for KLUB and ELBO alike."""

DIVERGENCE_WEIGHTS: dict[DivergenceKind, DivergenceWeights] = {
    "klub": DivergenceWeights(0.96, 0.04),
    "hkd": DivergenceWeights(0.97, 0.03, 0.7),
    "elbo": DivergenceWeights(0.99, 0.01),
    "klub_marginal": DivergenceWeights(0, 1),
    "klub_conditional": DivergenceWeights(1, 0),
    "elbo_marginal": DivergenceWeights(0, 1),
    "elbo_conditional": DivergenceWeights(1, 0),
}
"""The weights of Smoothed Dirichlet Diffusion; `l1` and `l2` have none."""


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """How far an estimate of the data is from the data, in terms of the laws that both give to the process.

    Args:
        kind: `klub`, `hkd`, `elbo`, one of their two terms alone, or the distance |x0_hat - x0| (`l1`) or its
            square (`l2`). Beta Diffusion names KLUB_AS what is `elbo` here, and SNR_Weighted_ELBO `elbo_marginal`.
        weights: of the terms of `klub`, `hkd` and `elbo`; None for those in `DIVERGENCE_WEIGHTS`.
        smoothing: `reference` subtracts from each term by how much the data is rougher across groups than the
            estimate. It is a dead zone: a term below it has no gradient. It is 0 for a single group.

    Raises:
        ValueError: smoothing of `l1` or `l2`; weights for a kind whose weights are fixed; a negative weight, or none
            but that of the Hoelder divergence.
    """

    kind: DivergenceKind = "klub"
    weights: DivergenceWeights | None = None
    smoothing: Literal["none", "reference"] = "none"

    def __post_init__(self) -> None:
        if self.smoothing != "none" and self.kind in ("l1", "l2"):
            raise ValueError(f"{self.kind} compares no laws, so it has no smoothing")
        if self.weights is None:
            return
        if self.kind not in ("klub", "hkd", "elbo"):
            raise ValueError(f"the weights of {self.kind} are fixed; give weights to klub, hkd or elbo")
        if min(self.weights) < 0 or self.weights.conditional + self.weights.marginal == 0:
            raise ValueError("no weight may be negative; Hoelder alone does not see brightness, so weigh a law as well")

    def __call__(
        self, x0: Foreground, x0_hat: Foreground, *, eta: float, alpha_t: _Level, alpha_s: _Level, delta: _Level
    ) -> PerElement:
        """The divergence of each element, summed over components.

        Args:
            x0: data. float64 is the intended precision; float32 costs about 1e-3 for each element at eta 10,000.
            x0_hat: its estimate.
            eta: concentration of the process.
            alpha_t: signal left at the noisier time.
            alpha_s: signal left at the cleaner time.
            delta: alpha_s - alpha_t, a difference to be taken in float64.

        Returns:
            Numbers >= 0 of shape (b, groups, *space).
        """
        if self.kind == "l1":
            return (x0_hat - x0).abs().sum(2)
        if self.kind == "l2":
            return ((x0_hat - x0) ** 2).sum(2)
        truth = laws(x0, eta=eta, alpha_t=alpha_t, alpha_s=alpha_s, delta=delta)
        model = laws(x0_hat, eta=eta, alpha_t=alpha_t, alpha_s=alpha_s, delta=delta)
        penalty = 0.0 if self.smoothing == "none" else smoothness_penalty(truth, model)
        first, second = (truth, model) if self.kind.startswith("elbo") else (model, truth)
        return weighted_divergence(first, second, self.weights or DIVERGENCE_WEIGHTS[self.kind], penalty=penalty)


def laws(x: Foreground, *, eta: float, alpha_t: _Level, alpha_s: _Level, delta: _Level) -> Laws:
    """Equations (1) and (2)."""
    total = x.sum(2, keepdim=True)
    return Laws(
        conditional=torch.cat([eta * delta * x, eta - eta * alpha_s * total], dim=2),
        marginal=torch.cat([eta * alpha_t * x, eta - eta * alpha_t * total], dim=2),
    )


def weighted_divergence(
    first: Laws, second: Laws, weights: DivergenceWeights, *, penalty: Tensor | float = 0.0
) -> PerElement:
    """The weighted divergences from the first laws to the second.

    Args:
        first: laws of the model for KLUB and HKD, of the data for ELBO.
        second: the other ones.
        weights: what each divergence counts; one that counts 0 is not computed.
        penalty: number >= 0 that every divergence is lowered by, though not below 0; it broadcasts over the result.
    """

    def counted(weight: float, divergence: Tensor) -> Tensor:
        return weight * (divergence - penalty).relu()

    total = first.conditional.new_zeros(())
    if weights.conditional:
        total = total + counted(weights.conditional, kl_dirichlet(first.conditional, second.conditional, dim=2))
    if weights.marginal:
        total = total + counted(weights.marginal, kl_dirichlet(first.marginal, second.marginal, dim=2))
    if weights.hoelder:
        proportions = hoelder(first.conditional[:, :, :-1], second.conditional[:, :, :-1], dim=1)
        total = total + counted(weights.hoelder, proportions.sum(1, keepdim=True))
    return total


def kl_gamma(a: Tensor, b: Tensor) -> Tensor:
    """KL(Gamma(a, 1) || Gamma(b, 1)), equation (3)."""
    return (a - b) * torch.digamma(a) - torch.lgamma(a) + torch.lgamma(b)


def kl_dirichlet(a: Tensor, b: Tensor, *, dim: int) -> Tensor:
    """KL(Dir(a) || Dir(b)), equation (4); the components lie along `dim`. Two components are Beta(a_1, a_2)."""
    return kl_gamma(a, b).sum(dim) - kl_gamma(a.sum(dim), b.sum(dim))


def hoelder(p: Tensor, q: Tensor, *, dim: int, exponent: float = EXPONENT) -> Tensor:
    """Symmetrised Hoelder divergence across `dim`, equation (6).

    It is that of the densities Dir(p + 1/2) and Dir(q + 1/2) to the base measure prod_c z_c^(-1/2) dz. Not below 0 but
    for rounding, and above 0 for p = q unless `exponent` is 2.
    """
    conjugate = exponent / (exponent - 1)
    powers = sum(_log_beta(power * v, dim) / power for v in (p, q) for power in (exponent, conjugate))
    return powers / 2 - _log_beta(p + q, dim)


def _log_beta(v: Tensor, dim: int) -> Tensor:
    """Equation (5)."""
    shifted = v + 0.5
    return torch.lgamma(shifted).sum(dim) - torch.lgamma(shifted.sum(dim))


def expected_smoothness(a: Tensor, *, dim: int) -> Tensor:
    """The mean of S under Dir(a), equation (7); 0 for a single component."""
    size, total = a.shape[dim], a.sum(dim)
    left, right = a.narrow(dim, 0, size - 1), a.narrow(dim, 1, size - 1)
    return ((left - right) ** 2 + left + right).sum(dim) / (total * (total + 1))


@torch.no_grad()
def smoothness_penalty(truth: Laws, model: Laws) -> Float[Tensor, "b ..."]:
    """How much rougher across groups the data is than the estimate: E S of eta delta x0 minus that of eta delta x0_hat.

    The mean over the pixels and components of an item, clamped at 0, of shape (b, 1, ...); constant for gradients.
    The reference estimates it from 100 draws and takes the mean over the batch, which ties the items of a batch.
    """
    rough, smooth = (expected_smoothness(of.conditional[:, :, :-1], dim=1) for of in (truth, model))
    excess = (rough - smooth).flatten(1).mean(1).relu()
    return excess.view(-1, *[1] * (truth.conditional.ndim - 2))


def smoothing_factor(logit: Float[Tensor, "b groups ..."]) -> PerItem:
    """What the reference divides a state of logits by: the mean of exp(2e-6 S) over an item; 1 for a single group.

    The reference divides a whole batch by one number, the mean of these.
    """
    roughness = (logit.diff(dim=1) ** 2).sum(1)
    return torch.exp(FACTOR_RATE * roughness).flatten(1).mean(1)
