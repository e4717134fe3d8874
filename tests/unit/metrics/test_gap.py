"""The gap: it is its definition, and the warning follows what was measured on models that copied and that did not."""

import numpy as np
import pytest

from sfumato.metrics.gap import learned_by_heart, paired_gap


def test_the_gap_is_paired_and_a_training_image_counts_once() -> None:
    held_out, known = np.array([1.0, 2.0, 3.0, 6.0]), np.array([0.5, 1.0, 1.0, 1.0])
    gap = paired_gap(held_out, known, np.array([7, 7, 8, 9]))
    assert gap.value == pytest.approx((0.5 + 1.0 + 2.0 + 5.0) / 4)
    assert gap.error == pytest.approx(np.array([0.75, 2.0, 5.0]).std(ddof=1) / 3**0.5)
    assert np.isnan(paired_gap(held_out, known, np.zeros(4, int)).error)
    assert np.isnan(paired_gap(held_out[:1], known[:1], np.zeros(1, int)).error)


@pytest.mark.parametrize(
    ("train", "held_out", "copies"),
    [
        (0.139, 0.291, 35),
        (0.065, 0.459, 99),
        (0.230, 0.232, 0),
        (0.201, 0.226, 0),
        (0.204, 0.203, 0),
        (0.184, 0.187, 0),
    ],
)
def test_the_warning_agrees_with_models_that_were_measured(train: float, held_out: float, copies: int) -> None:
    scores = {"loss_held_out": held_out, "loss_train": train, "gap": held_out - train, "gap_error": 0.02}
    warning = learned_by_heart(scores)
    assert (warning is not None) == (copies > 0)
    assert warning is None or f"{(held_out - train) / held_out:.0%}" in warning


def test_noise_is_no_warning() -> None:
    rng = np.random.default_rng(0)
    for images in (20, 256):
        level = rng.uniform(0.02, 1.0, (500, images))
        fired = 0
        for each in level:
            held_out, known = (each * rng.lognormal(0, 0.5, images) for _ in range(2))
            gap = paired_gap(held_out, known, np.arange(images))
            scores = {"loss_held_out": held_out.mean(), "gap": gap.value, "gap_error": gap.error}
            fired += learned_by_heart(scores) is not None
        assert fired <= 2
    assert learned_by_heart({"loss_held_out": 0.4, "gap": 0.2, "gap_error": 0.1}) is None


def test_what_has_no_gap_has_no_warning() -> None:
    assert learned_by_heart({"dice": 0.8}) is None
    assert learned_by_heart({"loss_held_out": 0.4, "gap": 0.3, "gap_error": float("nan")}) is None
