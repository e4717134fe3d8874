"""Losses, gradients and divergences of Smoothed Dirichlet Diffusion and of Beta Diffusion, per element, in float64.

Their penalty is an estimate from 100 draws, one number for the batch. It is made again here from the recorded draws,
and our closed form must agree with those draws within their noise; the losses are compared at their number.

A divergence is a small difference of terms up to ln Gamma(10^4) = 8e4, so equal values differ by the rounding of those
terms (`rounding`): 2e-11 where the divergence itself is as small, and nothing on the processor of the reference.
Reached: values 9e-10 and gradients 9e-11 (relative), both of them Hoelder's. Left out: the float32 arrays, which
document rounding, and the draws of `rgb_close`, to save space.
"""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.divergence import (
    BETA_DIFFUSION,
    DIVERGENCE_WEIGHTS,
    EXPONENT,
    Divergence,
    DivergenceKind,
    Laws,
    expected_smoothness,
    hoelder,
    kl_dirichlet,
    laws,
    weighted_divergence,
)

from .gmm import arrays

TAGS = ["rgb", "gray", "rgb_close", "mask"]
BETA_KINDS: dict[str, DivergenceKind] = {
    "KLUB": "klub",
    "KLUB_marginal": "klub_marginal",
    "KLUB_conditional": "klub_conditional",
    "ELBO": "elbo",
    "KLUB_marginal_AS": "elbo_marginal",
    "KLUB_conditional_AS": "elbo_conditional",
    "L1": "l1",
    "L2": "l2",
}


class Problem(NamedTuple):
    """The inputs of one run of theirs, the single foreground component an axis of its own."""

    logit: Tensor
    x0: Tensor
    x0_hat: Tensor
    eta: float
    levels: dict[str, Tensor]

    def laws(self) -> tuple[Laws, Laws]:
        """Of the data and of the model."""
        return laws(self.x0, eta=self.eta, **self.levels), laws(self.x0_hat, eta=self.eta, **self.levels)


def problem(tag: str) -> Problem:
    stored = arrays("sdd_losses")
    shift, scale = stored[f"{tag}_p_Shift"], stored[f"{tag}_p_Scale"]
    logit = stored[f"{tag}_logit_x0_hat"].clone().requires_grad_()
    names = {"alpha_t": "alpha", "alpha_s": "alpha_prev", "delta": "delta"}
    return Problem(
        logit=logit,
        x0=(shift + scale * stored[f"{tag}_x0_unit"]).unsqueeze(2),
        x0_hat=(shift + scale * logit.sigmoid()).unsqueeze(2),
        eta=float(stored[f"{tag}_p_eta"]),
        levels={ours: stored[f"{tag}_{theirs}"].view(-1, 1, 1, 1, 1) for ours, theirs in names.items()},
    )


def rounding(first: Tensor, second: Tensor, *, dim: int = 2) -> Tensor:
    """Of the terms of a divergence of Dirichlet laws, whose components lie along an axis."""

    def terms(a: Tensor, b: Tensor) -> Tensor:
        return torch.lgamma(a).abs() + torch.lgamma(b).abs() + ((a + b) * torch.digamma(a)).abs()

    together = terms(first, second).sum(dim) + terms(first.sum(dim), second.sum(dim))
    return torch.finfo(first.dtype).eps * together.detach()


def compare(value: Tensor, golden: Tensor, *, allowed: Tensor | float = 1e-12, tolerance: float = 1e-8) -> None:
    off = (value.detach() - golden).abs() - tolerance * golden.abs() - allowed
    assert value.shape == golden.shape
    assert off.max() <= 0, f"{off.max():.2e} further off than allowed"


def compare_with_gradient(
    value: Tensor, logit: Tensor, name: str, stored: dict[str, Tensor], *, both: tuple[Laws, Laws]
) -> None:
    first, second = both
    allowed = sum(rounding(*pair) + rounding(*pair[::-1]) for pair in zip(first, second, strict=True))
    compare(value, stored[name], allowed=allowed)
    (gradient,) = torch.autograd.grad(value.sum(), logit)
    compare(gradient, stored[f"{name}_grad_logit"], tolerance=1e-7)


@pytest.mark.parametrize("tag", TAGS)
def test_divergences_of_the_laws(tag: str):
    stored = arrays("sdd_losses")
    truth, model = problem(tag).laws()
    for law in ("conditional", "marginal"):
        p, q = getattr(truth, law), getattr(model, law)
        compare(kl_dirichlet(q, p, dim=2), stored[f"{tag}_f64_KLraw_qp_{law}"], allowed=rounding(q, p))
        compare(kl_dirichlet(p, q, dim=2), stored[f"{tag}_f64_KLraw_pq_{law}"], allowed=rounding(p, q))
        parts = [concentrations[:, :, :-1] for concentrations in (p, q)]
        allowed = rounding(*(EXPONENT * part + 0.5 for part in parts), dim=1)  # of the largest of its terms
        compare(hoelder(*parts, dim=1), stored[f"{tag}_f64_HPD_{law}"], allowed=allowed)


@pytest.mark.parametrize("kind", ["klub", "hkd", "elbo"])
@pytest.mark.parametrize("tag", TAGS)
def test_losses_with_their_penalty(tag: str, kind: DivergenceKind):
    stored, inputs = arrays("sdd_losses"), problem(tag)
    truth, model = inputs.laws()
    first, second = (truth, model) if kind == "elbo" else (model, truth)
    value = weighted_divergence(first, second, DIVERGENCE_WEIGHTS[kind], penalty=stored[f"{tag}_f64_penalty_integral"])
    compare_with_gradient(value, inputs.logit, f"{tag}_f64_{kind.upper()}", stored, both=(truth, model))


@pytest.mark.parametrize("name", BETA_KINDS)
@pytest.mark.parametrize("tag", ["rgb", "gray", "mask"])
def test_losses_of_beta_diffusion(tag: str, name: str):
    inputs, kind = problem(tag), BETA_KINDS[name]
    divergence = Divergence(kind=kind, weights=BETA_DIFFUSION if kind in ("klub", "elbo") else None)
    value = divergence(inputs.x0, inputs.x0_hat, eta=inputs.eta, **inputs.levels)
    stored = arrays("sdd_betadiff_losses")
    compare_with_gradient(value, inputs.logit, f"{tag}_{name}", stored, both=inputs.laws())


@pytest.mark.parametrize("tag", ["rgb", "mask"])
def test_penalty(tag: str):
    """Theirs from its draws; ours within five standard errors of the draws, in each pixel and over all of them."""
    stored, replayed = arrays("sdd_losses"), []
    for side, law in zip("pq", problem(tag).laws(), strict=True):
        roughness = (stored[f"{tag}_dirichlet_{side}"].diff(dim=-1) ** 2).sum(-1)
        replayed.append(((-1e-6 * roughness / 0.02).softmax(0) * roughness).sum(0).mean())
        expected = expected_smoothness(law.conditional[:, :, :-1], dim=1).squeeze(1).detach()
        error = roughness.std(0) / len(roughness) ** 0.5
        assert ((roughness.mean(0) - expected).abs() < 5 * error).all()
        assert (roughness.mean(0) - expected).mean().abs() < 5 * (error**2).mean().sqrt() / error.numel() ** 0.5
    # The draws were stored in float32.
    torch.testing.assert_close(
        (replayed[0] - replayed[1]).relu(), stored[f"{tag}_f64_penalty_integral"], rtol=0, atol=3e-9
    )


def test_no_penalty_for_one_channel():
    stored = arrays("sdd_losses")
    assert stored["gray_f64_penalty_integral"] == 0
    for law in problem("gray").laws():
        assert not expected_smoothness(law.conditional[:, :, :-1], dim=1).any()
