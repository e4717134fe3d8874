"""Preconditioning of VP, VE, iDDPM and EDM: what the network is given, and how its output is used (x = x_t / alpha).

The golden modules compute in float32, so they are met to that level; where float32 destroys a value (VP at small s),
the exact one is checked against its definition.
"""

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, VE, VP, cosine

from .gmm import arrays

PROCESSES = {
    "vp": Gaussian(schedule=VP(), prediction="eps", label="schedule"),
    "ve": Gaussian(schedule=VE(), prediction="score", label="schedule"),
    "iddpm": Gaussian(schedule=cosine(1000), prediction="eps", label="schedule"),
    "edm": Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5, label="schedule"),
}


def probe(process: Gaussian, t: Tensor | float) -> dict[str, Tensor]:
    """c_skip, c_out, c_in, c_noise, found by asking the process."""
    items = len(t) if isinstance(t, Tensor) else 1
    alpha, _ = process.coefficients(t)
    one = torch.ones(items, 1, dtype=torch.float64)
    zero = torch.zeros_like(one)
    x_t = one * (alpha[:, None] if isinstance(alpha, Tensor) else alpha)
    given, level = process.network_input(x_t, t)
    return {
        "c_skip": process.estimate(zero, x_t, t)[:, 0],
        "c_out": process.estimate(one, zero, t)[:, 0],
        "c_in": given[:, 0],
        "c_noise": level.double(),
    }


@pytest.mark.parametrize("name", PROCESSES)
def test_coefficients(name: str):
    stored, process = arrays("precond"), PROCESSES[name]
    found = probe(process, process.schedule.time(stored["sigma_grid"]))
    for key in ("c_skip", "c_out", "c_in"):
        torch.testing.assert_close(found[key], stored[f"{name}/{key}"], rtol=1e-5, atol=1e-7)
    if name != "iddpm":  # which rounds to its table; see below
        # float32 holds log(1 + s^2) to 6e-8, hence t to 6e-7 and the label to 6e-4.
        atol = 1e-3 if name == "vp" else 1e-6
        torch.testing.assert_close(found["c_noise"], stored[f"{name}/c_noise"], rtol=1e-5, atol=atol)


@pytest.mark.parametrize("name", PROCESSES)
def test_float_times_agree_with_tensor_times(name: str):
    process = PROCESSES[name]
    times = process.schedule.time(torch.tensor([0.01, 0.3, 2.0, 50.0], dtype=torch.float64))
    together = probe(process, times)
    for i, t in enumerate(times.tolist()):
        for key, value in probe(process, t).items():
            torch.testing.assert_close(
                value, together[key][i : i + 1], rtol=1e-6 if key == "c_noise" else 1e-13, atol=0
            )


def test_iddpm_label_at_the_levels_of_its_table():
    stored, process = arrays("precond"), PROCESSES["iddpm"]
    for ratios, labels in [
        (stored["iddpm/round_sigma"], stored["iddpm/c_noise"]),
        (stored["iddpm/u_float64"][:-1], 999 - torch.arange(1000.0, dtype=torch.float64)),
    ]:
        found = probe(process, process.schedule.time(ratios))["c_noise"]
        torch.testing.assert_close(found, labels, rtol=0, atol=0.01)


def test_iddpm_rounds_to_its_table():
    """The nearest entry u_j of the schedule read from its end, zero among them, and its label M - 1 - j."""
    stored, ratios = arrays("precond"), cosine(1000, offset=0.008, largest=1 - 0.001).ratios
    nearest = (stored["sigma_grid"][:, None] - ratios).abs().argmin(1)
    torch.testing.assert_close(ratios[nearest], stored["iddpm/round_sigma"], rtol=5e-4, atol=0)
    assert torch.equal(nearest.double() - 1, stored["iddpm/c_noise"])
    torch.testing.assert_close(ratios[1], stored["iddpm/sigma_min"], rtol=5e-4, atol=0)
    torch.testing.assert_close(ratios[-1], stored["iddpm/sigma_max"], rtol=1e-6, atol=0)


def test_iddpm_table():
    """The golden table took differences in float32 (4.6e-4 off at its smallest entry); the closed form is exact."""
    ratios = cosine(1000).ratios
    torch.testing.assert_close(ratios, arrays("precond")["iddpm/u_float64"].flip(0), rtol=5e-4, atol=0)
    torch.testing.assert_close(ratios[200:], arrays("precond")["iddpm/u_float64"].flip(0)[200:], rtol=2e-6, atol=0)
    angle = (torch.arange(1000, dtype=torch.float64) / 1000 + 0.008) / 1.008 * torch.pi / 2
    exact = (torch.sin(angle + angle[0]) * torch.sin(angle - angle[0])).sqrt() / torch.cos(angle)
    torch.testing.assert_close(ratios[:-1], exact, rtol=1e-12, atol=0)
    torch.testing.assert_close(1 + ratios[-1] ** 2, (1 + exact[-1] ** 2) / 0.001, rtol=1e-12, atol=0)


def test_vp_is_exact_where_float32_is_not():
    stored, schedule = arrays("precond"), VP()
    ends = schedule.ratio(torch.tensor([1e-5, 1.0], dtype=torch.float64))
    # expm1(19.9 / 2 * 1e-10 + 0.1 * 1e-5) = expm1(1.000995e-6)
    torch.testing.assert_close(ends[0].item(), 1.000498e-3, rtol=1e-6, atol=0)
    torch.testing.assert_close(ends[1], stored["vp/sigma_max"], rtol=1e-5, atol=0)
    torch.testing.assert_close(schedule.ratio(stored["vp/t"])[1:], stored["vp/sigma_of_t"][1:], rtol=1e-5, atol=0)
    torch.testing.assert_close(schedule.time(stored["vp/sigma_of_t"]), stored["vp/t_of_sigma"], rtol=1e-5, atol=1e-6)
