"""Coefficients of multistep samplers: moments, weights, and what every row keeps."""

import math
from itertools import product

import pytest
import torch

from sfumato.diffusion.sampler.coefficients import NoiseLevel, Scheme, lagrange

LEVELS = [NoiseLevel(1 / math.hypot(1, s), s / math.hypot(1, s)) for s in (40.0, 9.0, 2.5, 0.8, 0.1, 0.02)]
SCHEMES = [
    Scheme(order=order, target=target, eta=eta, slope=slope, curvature=curvature, corrects=eta == 0)
    for order, target, eta, slope, curvature in product(
        (1, 2, 3, 4), ("data", "noise"), (0.0, 0.5, 1.0), ("exact", "midpoint"), ("exact", "published")
    )
]
LMS = [Scheme(order=order, target="noise", along="ratio") for order in (1, 2, 3, 4)]


@pytest.mark.parametrize("places", [[0.0], [0.0, -0.7], [1.0, 0.0, -2.0], [0.0, -0.1, -1.0, -7.0]])
def test_weights_integrate_polynomials_exactly(places: list[float]):
    moments = [0.9, 0.4, 0.3, 0.2][: len(places)]
    weights = lagrange(places, moments)
    for power, moment in enumerate(moments):
        assert sum(w * v**power for w, v in zip(weights, places, strict=True)) == pytest.approx(moment)


@pytest.mark.parametrize(
    ("target", "along", "eta"),
    [*product(["data", "noise"], ["log_ratio"], [0.0, 0.4, 1.0]), ("noise", "ratio", 0.0)],
)
def test_rows_are_the_integrals_of_equations_2_to_4(target: str, along: str, eta: float):
    """Against Simpson's rule on x0 or eps = (v + 2)^2 along the last step, of order 3 or 4."""
    scheme = Scheme(order=4, target=target, along=along, eta=eta)
    start, end = LEVELS[-2:]
    row = scheme.rows(LEVELS)[-1]
    at = torch.tensor([level.ratio for level in LEVELS], dtype=torch.float64)
    at = at if along == "ratio" else at.log()
    places = ((at - at[-2]) / (at[-1] - at[-2])).tolist()
    known = [(place + 2) ** 2 for place in places[-2::-1]][:4]
    found = sum(weight * value for weight, value in zip(row.weights, known, strict=True))

    v = torch.linspace(0, 1, 2001, dtype=torch.float64)
    h, kept = math.log(start.ratio / end.ratio), end.ratio / start.ratio
    if along == "ratio":
        kernel = torch.full_like(v, 1 - kept)
    else:
        kernel = h * torch.exp(-h * v) if target == "noise" else (1 + eta) * h * torch.exp(-(1 + eta) * h * (1 - v))
    simpson = torch.full_like(v, 2.0)
    simpson[1::2], simpson[0], simpson[-1] = 4.0, 1.0, 1.0
    integral = float((simpson * kernel * (v + 2) ** 2).sum() / (3 * 2000))
    if target == "noise":
        found -= end.alpha * start.ratio * known[0]
    factor = end.alpha if target == "data" else -end.alpha * (1 + eta) * start.ratio
    assert found == pytest.approx(factor * integral, rel=1e-9)


@pytest.mark.parametrize("scheme", [*SCHEMES, *LMS], ids=str)
def test_a_right_estimate_stays_right(scheme: Scheme):
    """Where all estimates agree the step takes alpha x0 + sigma n from level to level, with all of its spread."""
    rows = [(i, row) for table in (scheme.rows(LEVELS), scheme.corrections(LEVELS)) for i, row in enumerate(table)]
    for i, row in rows:
        start, end, total = LEVELS[i], LEVELS[i + 1], sum(row.weights)
        if scheme.target == "data":
            assert row.base * start.alpha + total == pytest.approx(end.alpha)
            assert math.hypot(row.base * start.sigma, row.fresh) == pytest.approx(end.sigma)
        else:
            assert row.base == end.alpha
            assert total == pytest.approx(end.alpha * (end.ratio - scheme.eta * (start.ratio - end.ratio)))


def test_orders_grow_and_fall():
    counts = [len(row.weights) for row in Scheme(order=3, falling=2).rows(LEVELS)]
    assert counts == [1, 2, 3, 2, 1]
    assert [len(row.weights) for row in Scheme(order=3).rows(LEVELS)] == [1, 2, 3, 3, 3]
    assert [len(row.weights) for row in Scheme(order=2, corrects=True).corrections(LEVELS)] == [2, 3, 3, 3]
    assert Scheme(order=2).corrections(LEVELS) == []


@pytest.mark.parametrize("scheme", [each for each in SCHEMES if each.order == 3], ids=str)
def test_the_step_to_zero_returns_the_estimate(scheme: Scheme):
    levels = [*LEVELS, NoiseLevel(1.0, 0.0)]
    assert scheme.rows(levels)[-1] == ((0, (1,), 0) if scheme.target == "data" else (1, (0,), 0))


def test_published_forms():
    """DPM-Solver++(2M) and the third order of its code, in their own formulas."""
    h, before, earlier = (math.log(LEVELS[i].ratio / LEVELS[i + 1].ratio) for i in (2, 1, 0))
    r0, r1 = before / h, earlier / h
    phi_1 = -math.expm1(-h)
    row = Scheme(order=2, slope="midpoint").rows(LEVELS)[2]
    assert row.weights == pytest.approx(
        [LEVELS[3].alpha * phi_1 * (1 + 1 / (2 * r0)), -LEVELS[3].alpha * phi_1 / 2 / r0]
    )
    d = [1.0, 0.5, -0.3]
    first, second = (d[0] - d[1]) / r0, (d[1] - d[2]) / r1
    slope, curve = first + r0 / (r0 + r1) * (first - second), (first - second) / (r0 + r1)
    phi_2 = 1 - phi_1 / h
    expected = LEVELS[3].alpha * (phi_1 * d[0] + phi_2 * slope - (phi_2 / h - 0.5) * curve)
    row = Scheme(order=3, curvature="published").rows(LEVELS)[2]
    assert sum(w * value for w, value in zip(row.weights, d, strict=True)) == pytest.approx(expected)


def test_from_nothing_but_noise():
    """alpha = 0 at the start, s infinite: the first step moves onto the estimate, the second knows no slope."""
    levels = [NoiseLevel(0.0, 1.0), *LEVELS]
    for scheme in (Scheme(order=3), Scheme(order=2, slope="width", corrects=True), Scheme(order=2, eta=1.0)):
        first, second, *_ = scheme.rows(levels)
        assert math.hypot(first.base, first.fresh) == pytest.approx(LEVELS[0].sigma)
        assert first.weights == pytest.approx([LEVELS[0].alpha])
        assert len(second.weights) == 1
        for row in scheme.corrections(levels):
            assert all(map(math.isfinite, (row.base, *row.weights)))
    with pytest.raises(ValueError, match="alpha = 0"):
        Scheme(order=2, target="noise").rows(levels)


@pytest.mark.parametrize(
    "wrong",
    [{"order": 0}, {"order": 5}, {"order": 2, "eta": -0.1}, {"order": 2, "along": "ratio"}],
    ids=str,
)
def test_what_is_no_scheme(wrong: dict):
    with pytest.raises(ValueError):
        Scheme(**wrong)
