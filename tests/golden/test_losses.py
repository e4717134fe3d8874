"""The training losses of VP, VE, EDM and EDM2 with the exact denoiser as network, and the noise they are taken at."""

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, VE, VP
from sfumato.diffusion.level.training_noise import LogNormal, LogUniform, Uniform
from sfumato.networks.uncertainty import weighted_loss

from .gmm import Recorded, arrays, exact_output, mixture

EDMS = {"edm": LogNormal(-1.2, 1.2), "edm_m0p4s1": LogNormal(-0.4, 1.0), "edm2": LogNormal(-0.4, 1.0)}
PROCESSES = {
    "vp": Gaussian(schedule=VP(), prediction="eps", training=Uniform(1e-5)),
    "ve": Gaussian(schedule=VE(), prediction="score", training=LogUniform(0.02, 100)),
    **{
        name: Gaussian(schedule=EDM(maximum=1000), prediction="F", sigma_data=0.5, training=law)
        for name, law in EDMS.items()
    },
}


@pytest.mark.parametrize("name", PROCESSES)
def test_noise_levels(name: str):
    """The quantiles at the golden uniform numbers; of normal ones at their distribution function."""
    stored, process = arrays("losses"), PROCESSES[name]
    drawn = torch.special.ndtr(stored["rnd_normal"]) if name in EDMS else stored["rnd_uniform"]
    u = 1 - drawn if name == "vp" else drawn  # its time runs the other way in u
    found = process.schedule.ratio(process.times(u.flatten()).double())
    rtol = 5e-4 if name == "vp" else 1e-5  # they take exp(z) - 1 in float32
    torch.testing.assert_close(found, stored[f"{name}/sigma"].flatten(), rtol=rtol, atol=0)


def measured(name: str) -> Tensor:
    """The loss of each item."""
    stored, process = arrays("losses"), PROCESSES[name]
    x0, ratios = stored["images"], stored[f"{name}/sigma"].flatten()
    t = process.schedule.time(ratios)
    x_t = process.corrupt(x0, t, Recorded([stored["eps"]]))
    alpha, sigma = process.coefficients(t, x0)
    estimate = mixture().denoised((x_t / alpha).flatten(1), ratios).view_as(x0)
    return process.loss(exact_output(process.prediction, estimate, x_t, alpha, sigma), x0, x_t, t)


@pytest.mark.parametrize("name", ["vp", "ve", "edm", "edm_m0p4s1"])
def test_loss(name: str):
    golden = arrays("losses")[f"{name}/loss"].flatten(1).mean(1)
    # The golden noisy images are float32: at small s the squared error keeps 4 digits.
    torch.testing.assert_close(measured(name), golden, rtol=1e-5, atol=1e-6)


def test_loss_with_uncertainty():
    stored = arrays("losses")
    golden = stored["edm2/loss"].flatten(1).mean(1)
    torch.testing.assert_close(
        weighted_loss(measured("edm2"), stored["edm2/logvar"].flatten()), golden, rtol=1e-5, atol=1e-6
    )
