"""KID of k-diffusion and the Fréchet distances of NVlabs/edm and in closed form, on five sets of features.

Two of the sets have a singular covariance. The references take square roots of its zero eigenvalues, which are zero but
for rounding: in d dimensions up to d eps times the largest one. Ours are compared with them to the root of that, and to
full precision with the form that needs no covariance.
"""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from sfumato.metrics.fidelity import feature_moments, frechet, frechet_moments, kid

from .gmm import arrays

SETS = ["a", "b", "c_lowrank", "d_constdim", "e_relu"]


@pytest.mark.parametrize("pair", combinations_with_replacement(SETS, 2), ids="|".join)
def test_distances(pair: tuple[str, str]):
    stored = arrays("frechet")
    x, y = (stored[f"features/{name}"].numpy() for name in pair)
    name = "|".join(pair)
    by_moments, by_features = frechet_moments(feature_moments(x), feature_moments(y)), frechet_of_features(x, y)
    assert by_moments == pytest.approx(by_features, rel=1e-12, abs=1e-12)
    assert frechet(x, y) == pytest.approx(by_features, rel=1e-12, abs=1e-12)
    for reference in ("fd_eigh", "fd_nvlabs"):
        golden = float(stored[f"{reference}/{name}"])
        assert by_moments == pytest.approx(golden, rel=1e-9, abs=1e-12 + of_null_directions(x, y))
    assert kid(x, y) == pytest.approx(float(stored[f"kid_kdiffusion/{name}"]), rel=1e-9, abs=1e-9)


def test_faint_directions_count():
    """A variance 10^-10 of the largest one is no rounding."""
    x = arrays("frechet")["features/a"].numpy()
    faint, fainter = (x * np.append(np.ones(x.shape[1] - 1), scale) for scale in (2e-5, 1e-5))
    assert frechet(faint, fainter) == pytest.approx(1e-10 * (x[:, -1].var(ddof=1) + x[:, -1].mean() ** 2), abs=1e-13)


def frechet_of_features(x: np.ndarray, y: np.ndarray) -> float:
    """|m_x - m_y|^2 + |X|^2 + |Y|^2 - 2 |X Y^T|_* of centred features X and Y, whatever their shapes."""
    left, right = ((side - side.mean(0)) / np.sqrt(len(side) - 1) for side in (x, y))
    overlap = np.linalg.svd(left @ right.T, compute_uv=False).sum()
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + (left**2).sum() + (right**2).sum() - 2 * overlap


def of_null_directions(x: np.ndarray, y: np.ndarray) -> float:
    """How far the roots of eigenvalues of S_x S_y that should be zero may be off, together."""
    covariances = [np.cov(side, rowvar=False) for side in (x, y)]
    missing = len(covariances[0]) - min(map(np.linalg.matrix_rank, covariances))
    largest = np.prod([np.linalg.norm(covariance, 2) for covariance in covariances])
    return 2 * missing * np.sqrt(len(covariances[0]) * np.finfo(np.float64).eps * largest)


def test_closed_form_of_diagonal_gaussians():
    stored = arrays("frechet")
    mean, variance = ((stored[f"analytic/{k}1"].numpy(), stored[f"analytic/{k}2"].numpy()) for k in ("m", "var"))
    cube = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6)).reshape(6, -1).T * np.sqrt(63 / 64)  # covariance exactly 1
    x, y = (m + np.sqrt(v) * cube for m, v in zip(mean, variance, strict=True))
    assert frechet(x, y) == pytest.approx(float(stored["analytic/fd"]), rel=1e-10)
