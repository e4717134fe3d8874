"""Tables and timesteps of diffusers, which computes them in float32."""

import pytest
import torch

from sfumato.diffusion.level.schedule import cosine, linear, scaled_linear, sigmoid, zero_terminal
from sfumato.diffusion.level.spacing import leading_grid, linspace_grid, trailing_grid

from .gmm import arrays

TABLES = {"linear": linear, "squaredcos_cap_v2": cosine, "scaled_linear": scaled_linear, "sigmoid": sigmoid}
SPACINGS = {"leading": leading_grid, "trailing": trailing_grid, "linspace": linspace_grid}


@pytest.mark.parametrize("name", TABLES)
def test_betas(name: str):
    schedule = TABLES[name](1000)
    torch.testing.assert_close(schedule.betas, arrays("tables")[f"{name}/betas"], rtol=5e-7, atol=0)
    alpha_bar = 1 / (1 + schedule.ratios[1:] ** 2)
    # Products of a thousand float32 numbers; the last factor of the cosine is 1 - 0.999.
    torch.testing.assert_close(alpha_bar, arrays("tables")[f"{name}/alphas_cumprod"], rtol=2e-5, atol=0)


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2", "scaled_linear"])
def test_zero_terminal(name: str):
    alpha_bar = 1 / (1 + zero_terminal(TABLES[name](1000)).ratios[1:] ** 2)
    torch.testing.assert_close(alpha_bar, arrays("tables")[f"{name}/zero_snr_alphas_cumprod"], rtol=1e-5, atol=0)
    assert alpha_bar[-1] == 0


@pytest.mark.parametrize("steps", [5, 10, 18, 25, 50])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps(spacing: str, steps: int):
    times = SPACINGS[spacing](linear(1000), steps)
    assert times[-1] == 0
    golden = arrays("tables")[f"timesteps/{spacing}/{steps}"]
    torch.testing.assert_close(
        1000 * torch.tensor(times[:-1], dtype=torch.float64) - 1, golden.double(), rtol=0, atol=1e-9
    )
