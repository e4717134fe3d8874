"""KID of k-diffusion and the Fréchet distances of NVlabs/edm and in closed form, on five sets of features."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from sfumato.metrics.fidelity import frechet, frechet_moments, kid, moments

from .gmm import arrays

SETS = ["a", "b", "c_lowrank", "d_constdim", "e_relu"]


@pytest.mark.parametrize("pair", combinations_with_replacement(SETS, 2), ids="|".join)
def test_distances(pair: tuple[str, str]):
    stored = arrays("frechet")
    x, y = (stored[f"features/{name}"].numpy() for name in pair)
    name = "|".join(pair)
    by_moments = frechet_moments(moments(x), moments(y))
    assert by_moments == pytest.approx(float(stored[f"fd_eigh/{name}"]), rel=1e-9, abs=1e-9)
    assert frechet(x, y) == pytest.approx(by_moments, rel=1e-9, abs=1e-6)  # by singular values where images are few
    # scipy's matrix root loses digits on covariances without full rank
    assert frechet(x, y) == pytest.approx(float(stored[f"fd_nvlabs/{name}"]), rel=1e-6, abs=2e-6)
    assert kid(x, y) == pytest.approx(float(stored[f"kid_kdiffusion/{name}"]), rel=1e-9, abs=1e-9)


def test_closed_form_of_diagonal_gaussians():
    stored = arrays("frechet")
    mean, variance = ((stored[f"analytic/{k}1"].numpy(), stored[f"analytic/{k}2"].numpy()) for k in ("m", "var"))
    cube = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, -1).T * np.sqrt(63 / 64)  # covariance exactly 1
    x, y = (m + np.sqrt(v) * cube for m, v in zip(mean, variance, strict=True))
    assert frechet(x, y) == pytest.approx(float(stored["analytic/fd"]), rel=1e-10)
