"""Predictions, losses and training times of the Gaussian process."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian, PredictionType
from sfumato.diffusion.level.schedule import EDM, VE, VP, Flow, Schedule, cosine, linear, zero_terminal
from sfumato.diffusion.level.training_noise import LogNormal, LogUniform, ShiftedCosine, Uniform
from sfumato.randomness import Noise

SCHEDULES: dict[str, Schedule] = {
    "linear": linear(),
    "cosine": cosine(),
    "vp": VP(),
    "ve": VE(),
    "edm": EDM(),
    "flow": Flow(2.0),
}
LINEAR: list[PredictionType] = ["eps", "score", "x0", "v", "velocity", "F"]
FITTING = [
    (prediction, schedule)
    for prediction in LINEAR
    for schedule in SCHEDULES
    if schedule != "flow" or prediction not in ("eps", "score")
]
"""Where a flow ends no signal is left, of which noise says nothing."""

SHAPES = [(4, 2, 6, 5), (4, 1, 3, 4, 5), (4, 3)]


def process(schedule: str, prediction: PredictionType, **settings: object) -> Gaussian:
    return Gaussian(schedule=SCHEDULES[schedule], prediction=prediction, sigma_data=0.5, **settings)  # type: ignore[arg-type]


def levels(p: Gaussian, *ratios: float) -> Tensor:
    """Times at which the schedule has these noise-to-signal ratios."""
    return p.schedule.time(torch.tensor(ratios, dtype=torch.float64))


def data(*shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def by_definition(prediction: str, x0: Tensor, n: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The target of each prediction, straight from equations (3) to (8) of gaussian.py."""
    s, x = sigma / alpha, x0 + sigma / alpha * n
    skip, out = 0.25 / (s**2 + 0.25), s * 0.5 / (s**2 + 0.25).sqrt()
    targets = {"eps": n, "score": -n, "x0": x0, "v": alpha * n - sigma * x0, "velocity": n - x0}
    return (targets | {"F": (x0 - skip * x) / out})[prediction]


def corrupted(p: Gaussian, x0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """x_t and the exact output."""
    alpha, sigma = p.coefficients(t, x0)
    assert isinstance(alpha, Tensor) and isinstance(sigma, Tensor)
    n = Noise(range(len(x0))).normal(x0)
    return alpha * x0 + sigma * n, by_definition(p.prediction, x0, n, alpha, sigma)


@pytest.mark.parametrize("shape", SHAPES, ids=["2d", "3d", "flat"])
@pytest.mark.parametrize(("prediction", "schedule"), FITTING)
def test_exact_output_gives_back_the_data(prediction: PredictionType, schedule: str, shape: tuple[int, ...]):
    p, x0 = process(schedule, prediction), data(*shape)
    t = levels(p, 50.0, 2.0, 0.3, 0.01)
    x_t, output = corrupted(p, x0, t)
    torch.testing.assert_close(p.estimate(output, x_t, t), x0, rtol=0, atol=1e-11)
    assert p.loss(output, x0, x_t, t).abs().max() < 1e-20
    for i, one in enumerate(t.tolist()):
        item = slice(i, i + 1)
        torch.testing.assert_close(p.estimate(output[item], x_t[item], one), x0[item], rtol=0, atol=1e-11)
        assert p.loss(output[item], x0[item], x_t[item], one).abs().max() < 1e-20


@pytest.mark.parametrize(("prediction", "schedule"), FITTING)
def test_loss_is_the_mean_squared_error_of_the_output(prediction: PredictionType, schedule: str):
    p, x0 = process(schedule, prediction), data(3, 2, 4, 4)
    t = levels(p, 30.0, 1.0, 0.05)
    x_t, output = corrupted(p, x0, t)
    off = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    torch.testing.assert_close(p.loss(output + off.view(3, 1, 1, 1), x0, x_t, t), off**2, rtol=1e-9, atol=0)


@pytest.mark.parametrize(("prediction", "schedule"), FITTING)
def test_min_snr_weighs_the_error_of_the_estimate(prediction: PredictionType, schedule: str):
    """loss = min(SNR, gamma) |x0_hat - x0|^2 whatever is predicted (Hang et al. 2023)."""
    p, x0 = process(schedule, prediction, min_snr=5.0), data(4, 1, 4, 4)
    t = levels(p, 30.0, 1.0, 0.2, 0.01)
    x_t, output = corrupted(p, x0, t)
    output = output + data(4, 1, 4, 4).flip(0) / 3
    alpha, sigma = p.coefficients(t, x0)
    squared = ((p.estimate(output, x_t, t) - x0) ** 2).flatten(1).mean(1)
    expected = ((alpha / sigma) ** 2).clamp(max=5).flatten() * squared
    torch.testing.assert_close(p.loss(output, x0, x_t, t), expected, rtol=1e-8, atol=0)
    one = p.loss(output[:1], x0[:1], x_t[:1], float(t[0]))
    torch.testing.assert_close(one, expected[:1], rtol=1e-8, atol=0)


HANG: dict[PredictionType, Callable[[Tensor], Tensor]] = {
    "x0": lambda snr: snr.clamp(max=5),
    "eps": lambda snr: snr.clamp(max=5) / snr,
    "v": lambda snr: snr.clamp(max=5) / (snr + 1),
    "F": lambda snr: snr.clamp(max=5) / (snr + 1 / 0.25),
}


@pytest.mark.parametrize("prediction", HANG)
def test_min_snr_is_the_weight_of_the_paper(prediction: PredictionType):
    """On the squared error of what is predicted (Hang et al. 2023, section 3.4); F: c_out^2 = 1 / (SNR + 1 / sd^2)."""
    p, snr = process("cosine", prediction, min_snr=5.0), torch.tensor([40.0, 5.0, 1.0, 1e-3], dtype=torch.float64)
    t, x0 = p.schedule.time(snr**-0.5), data(4, 1, 4, 4)
    x_t, output = corrupted(p, x0, t)
    torch.testing.assert_close(p.loss(output + 1, x0, x_t, t), HANG[prediction](snr), rtol=1e-9, atol=0)


RATIOS = torch.logspace(-4, math.log10(2e4), 60, dtype=torch.float64)


@pytest.mark.parametrize("schedule", ["vp", "edm", "cosine"])
@pytest.mark.parametrize("prediction", LINEAR)
def test_coefficients_keep_their_digits(prediction: PredictionType, schedule: str):
    """Scales, weights and reverse steps against 64-bit mantissas, for s from 1e-4 to 2e4."""
    p = process(schedule, prediction)
    top = float(p.schedule.ratio(torch.ones(1, dtype=torch.float64)))
    t = p.schedule.time(RATIOS[top > RATIOS])
    s = p.schedule.ratio(t).numpy().astype(np.longdouble)
    alpha = {
        "variance_preserving": 1 / np.sqrt(1 + s**2),
        "variance_exploding": np.ones_like(s),
        "straight": 1 / (1 + s),
    }[p.schedule.scaling]
    sigma, one = s * alpha, np.ones_like(s)
    weights = {
        "eps": (1 / alpha, -s),
        "score": (1 / alpha, s),
        "x0": (0 * one, one),
        "v": (alpha / (alpha**2 + sigma**2), -sigma / (alpha**2 + sigma**2)),
        "velocity": (1 / (alpha + sigma), -sigma / (alpha + sigma)),
        "F": (0.25 / (s**2 + 0.25) / alpha, s * 0.5 / np.sqrt(s**2 + 0.25)),
    }[prediction]
    like = torch.ones(len(t), 1, dtype=torch.float64)
    from_state = p.estimate(torch.zeros_like(like), like, t)
    from_output = p.estimate(like, torch.zeros_like(like), t)
    q = (s[:-1] / s[1:]) ** 2
    spreads = sigma[:-1] * np.sqrt(1 - q), sigma[1:] * np.sqrt(1 - q)
    mean = p.posterior(t[1:], t[:-1])[:2]
    for found, exact in [
        *zip(p.coefficients(t), (alpha, sigma), strict=True),
        *zip((from_state[:, 0], from_output[:, 0]), weights, strict=True),
        *zip(p.spreads(t[1:], t[:-1]), spreads, strict=True),
        *zip(mean, (alpha[:-1] * q / alpha[1:], alpha[:-1] * (1 - q)), strict=True),
    ]:
        np.testing.assert_allclose(np.asarray(found), exact.astype(float), rtol=1e-13)


@pytest.mark.parametrize("schedule", ["vp", "edm", "cosine"])
@pytest.mark.parametrize("prediction", LINEAR)
def test_float32_losses_are_those_of_float64(prediction: PredictionType, schedule: str):
    """A float32 state holds the noise to 6e-8 / s, or the data to 6e-8 s: no formula can give more of it back."""
    p, x0 = process(schedule, prediction), data(1, 1, 16, 16)
    top = float(p.schedule.ratio(torch.ones(1, dtype=torch.float64)))
    for s in (1e-4, 1e-3, 0.1, 1.0, 30.0, 1e3, 2e4):
        if s < top:
            t = float(p.schedule.time(torch.tensor([s], dtype=torch.float64)))
            x_t, output = corrupted(p, x0, torch.tensor([t], dtype=torch.float64))
            wrong = output + 0.3 * data(1, 1, 16, 16).flip(-1)
            exact = p.loss(wrong, x0, x_t, t)
            found = p.loss(wrong.float(), x0.float(), x_t.float(), t)
            lost = 2e-6 / s + 2e-6 * (s if prediction == "x0" else 1)
            torch.testing.assert_close(found.double(), exact, rtol=lost, atol=0)


@pytest.mark.parametrize("prediction", ["v", "x0", "F", "logits"])
def test_where_no_signal_is_left(prediction: PredictionType):
    p = Gaussian(schedule=zero_terminal(linear(100)), prediction=prediction, sigma_data=0.5)
    x0 = data(2, 2, 4, 4).float()
    for t in (1.0, torch.tensor([1.0, 0.5])):
        x_t = p.corrupt(x0, t, Noise([0, 1]))
        given, level = p.network_input(x_t, t)
        answers = [x_t, given, level, p.estimate(x0, x_t, t), p.loss(x0, x0, x_t, t)]
        assert all(answer.isfinite().all() for answer in answers)
        assert level.max() <= 4
    assert torch.equal(x_t[0], Noise([0, 1]).normal(x0)[0])
    assert p.posterior(1.0, 0.5) == pytest.approx((0.0, *p.coefficients(0.5)))
    assert p.reverse(x_t, x0, 1.0, 0.5, Noise([0, 1])).isfinite().all()
    if prediction == "v":
        torch.testing.assert_close(p.estimate(x0, x_t, 1.0), -x0)


@pytest.mark.parametrize("prediction", ["eps", "score"])
def test_noise_says_nothing_where_no_signal_is_left(prediction: PredictionType):
    with pytest.raises(ValueError, match="predict v or x0"):
        Gaussian(schedule=zero_terminal(linear(100)), prediction=prediction)


def test_min_snr_is_not_for_cross_entropy():
    with pytest.raises(ValueError, match="cross-entropy"):
        Gaussian(schedule=cosine(), prediction="logits", min_snr=5.0)


@pytest.mark.parametrize("prediction", [*LINEAR, "logits"])
def test_further_channels_are_not_looked_at(prediction: PredictionType):
    p, x0 = process("cosine", prediction), data(2, 2, 4, 4)
    output = torch.cat([x0, torch.full_like(x0, torch.nan)], 1)
    torch.testing.assert_close(p.estimate(output, x0, 0.5), p.estimate(x0, x0, 0.5))


@pytest.mark.parametrize(("prediction", "schedule"), [*FITTING, *(("logits", schedule) for schedule in SCHEDULES)])
def test_float64_and_float32_stay(prediction: PredictionType, schedule: str):
    p = process(schedule, prediction)
    for dtype in (torch.float64, torch.float32):
        x0 = data(2, 2, 4, 4).to(dtype)
        for t in (0.5, torch.tensor([0.5, 0.2]), torch.tensor([0.5, 0.2], dtype=torch.float64)):
            x_t = p.corrupt(x0, t, Noise([0, 1]))
            given, level = p.network_input(x_t, t)
            answers = [x_t, given, p.estimate(x0, x_t, t), p.loss(x0, x0, x_t, t), p.log_marginal(x_t, x0, t)]
            assert {answer.dtype for answer in answers} == {dtype}
            assert level.dtype == torch.float32 and level.shape == (2,)
        assert p.reverse(x0, x0, 0.5, 0.25, Noise([0, 1])).dtype == dtype
        assert p.prior(x0, Noise([0, 1])).dtype == dtype


@pytest.mark.parametrize(("prediction", "schedule"), [*FITTING, *(("logits", schedule) for schedule in SCHEDULES)])
@pytest.mark.parametrize("min_snr", [None, 5.0])
def test_gradients_are_finite(prediction: PredictionType, schedule: str, min_snr: float | None):
    p = process(schedule, prediction, min_snr=None if prediction == "logits" else min_snr)
    x0 = data(3, 2, 4, 4).float().sign()
    t = torch.tensor([1.0, 0.5, 1e-3])
    x_t = p.corrupt(x0, t, Noise([0, 1, 2]))
    output = data(3, 2, 4, 4).float().requires_grad_()
    (p.loss(output, x0, x_t, t).sum() + p.estimate(output, x_t, t).square().sum()).backward()
    assert output.grad is not None and torch.isfinite(output.grad).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_network_sees_unit_variance(schedule: str):
    p = process(schedule, "F")
    x0 = 0.5 * Noise([0]).normal(torch.zeros(1, 1, 200, 100, dtype=torch.float64))
    for t in (0.9, 0.5, 0.1):
        given, level = p.network_input(p.corrupt(x0, t, Noise([1])), t)
        assert float(given.std()) == pytest.approx(1, rel=0.03)
        alpha, sigma = p.coefficients(t)
        assert float(level) == pytest.approx(math.log(sigma / alpha) / 4, rel=1e-6)


def test_without_sigma_data_the_network_sees_the_state():
    p, x0 = Gaussian(schedule=cosine(), prediction="v"), data(1, 1, 2, 2)
    assert p.network_input(x0, 0.3)[0] is x0


def test_logits_are_class_probabilities():
    p, scores = process("cosine", "logits"), 4 * data(2, 3, 5, 5)
    estimate = p.estimate(scores, scores, 0.5)
    weights = scores.exp() / scores.exp().sum(1, keepdim=True)
    torch.testing.assert_close(estimate, 2 * weights - 1)
    x0 = torch.full_like(scores, -1.0)
    x0[:, 1] = 1.0
    torch.testing.assert_close(p.loss(scores, x0, scores, 0.5), -weights[:, 1].log().flatten(1).mean(1))


def test_f_needs_the_spread_of_the_data():
    with pytest.raises(ValueError, match="sigma_data"):
        Gaussian(schedule=EDM(), prediction="F")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_log_marginal_orders_the_candidates(schedule: str):
    p, x0 = process(schedule, "v"), data(1, 1, 4, 4)
    alpha, sigma = p.coefficients(0.4)
    density = torch.distributions.Normal(alpha * x0, sigma)
    other = torch.distributions.Normal(alpha * -x0, sigma)
    x_t = p.corrupt(x0, 0.4, Noise([0]))
    expected = (density.log_prob(x_t) - other.log_prob(x_t)).sum()
    found = p.log_marginal(x_t, x0, 0.4) - p.log_marginal(x_t, -x0, 0.4)
    torch.testing.assert_close(found[0], expected)


# Training times: quantiles, so evenly spaced u give the law itself.

U = (torch.arange(20_000) + 0.5) / 20_000


def log_ratio(p: Gaussian) -> Tensor:
    t = p.times(U)
    assert t.dtype == torch.float32 and t.min() > 0 and t.max() <= 1
    assert (t.diff() >= 0).all()
    return p.schedule.ratio(t.double()).log()


@pytest.mark.parametrize("schedule", ["edm", "ve", "vp", "cosine"])
def test_log_normal_noise(schedule: str):
    found = log_ratio(process(schedule, "F", training=LogNormal(mean=-0.8, std=0.9)))
    assert float(found.mean()) == pytest.approx(-0.8, abs=2e-3)
    assert float(found.std()) == pytest.approx(0.9, abs=3e-3)


@pytest.mark.parametrize("schedule", ["edm", "cosine"])
def test_centred_noise(schedule: str):
    """-2 ln tan(pi u / 2), the cosine schedule's own law, with its median moved to the wanted log-SNR."""
    log_snr = -2 * log_ratio(process(schedule, "x0", training=ShiftedCosine(log_snr=-4.0)))
    assert float(log_snr.median()) == pytest.approx(-4, abs=1e-3)
    quarter = -4 - 2 * math.log(math.tan(math.pi / 8))
    assert float(log_snr.quantile(0.75)) == pytest.approx(quarter, abs=1e-3)


def test_log_uniform_noise():
    found = log_ratio(process("ve", "score", training=LogUniform(0.02, 100.0)))
    expected = math.log(0.02) + math.log(5000) * U.double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_uniform_times():
    times = process("cosine", "eps", training=Uniform(low=0.1)).times(U)
    assert float(times[0]) == pytest.approx(0.1, abs=1e-4) and float(times.mean()) == pytest.approx(0.55, abs=1e-4)


@pytest.mark.parametrize("training", [LogNormal(), ShiftedCosine(log_snr=-3.0)])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_extreme_draws_are_times(schedule: str, training: LogNormal | ShiftedCosine):
    extreme = torch.tensor([0.0, 2**-24, 1 - 2**-24])
    times = process(schedule, "v", training=training).times(extreme)
    assert torch.isfinite(times).all() and times.min() > 0 and times.max() <= 1


def test_errors_of_the_data_count_as_those_of_the_velocity():
    """|u_hat - u|^2 = |x0_hat - x0|^2 / sigma^2, down to the least sigma."""
    data_like = Gaussian(schedule=Flow(), prediction="x0", least_sigma=0.05)
    velocity, x0 = Gaussian(schedule=Flow(), prediction="velocity"), data(3, 1, 4, 4)
    t = torch.tensor([0.9, 0.2, 0.01], dtype=torch.float64)
    x_t, u = corrupted(velocity, x0, t)
    x0_hat = velocity.estimate(u + 0.3, x_t, t)
    found, expected = data_like.loss(x0_hat, x0, x_t, t), velocity.loss(u + 0.3, x0, x_t, t)
    torch.testing.assert_close(found[:2], expected[:2], rtol=1e-9, atol=0)
    torch.testing.assert_close(found[2], expected[2] * 0.01**2 / 0.05**2, rtol=1e-9, atol=0)
    torch.testing.assert_close(data_like.loss(x0_hat[:1], x0[:1], x_t[:1], 0.9), found[:1], rtol=1e-9, atol=0)


def test_what_weighs_errors_of_the_data_alone_is_refused_elsewhere():
    with pytest.raises(ValueError, match="least_sigma"):
        Gaussian(schedule=Flow(), prediction="velocity", least_sigma=0.05)
