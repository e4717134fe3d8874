"""The training losses of VP, VE and EDM with the exact denoiser as network."""

import pytest
import torch

from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.schedule import EDM, VE, VP

from .gmm import Recorded, arrays, exact_output, mixture

EDM_PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
PROCESSES = {
    "vp": Gaussian(schedule=VP(), prediction="eps"),
    "ve": Gaussian(schedule=VE(), prediction="score"),
    "edm": EDM_PROCESS,
    "edm_m0p4s1": EDM_PROCESS,
}


@pytest.mark.parametrize("name", PROCESSES)
def test_loss(name: str):
    stored, process = arrays("losses"), PROCESSES[name]
    x0, ratios = stored["images"], stored[f"{name}/sigma"].flatten()
    t = process.schedule.time(ratios)
    x_t = process.corrupt(x0, t, Recorded([stored["eps"]]))
    alpha, sigma = process.coefficients(t, x0)
    estimate = mixture().denoised((x_t / alpha).flatten(1), ratios).view_as(x0)
    output = exact_output(process.prediction, estimate, x_t, alpha, sigma)
    golden = stored[f"{name}/loss"].flatten(1).mean(1)
    # The golden noisy images are float32: at small s the squared error keeps 4 digits.
    torch.testing.assert_close(process.loss(output, x0, x_t, t), golden, rtol=1e-5, atol=1e-6)
