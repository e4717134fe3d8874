"""Does uncertainty point at the errors: against worked examples, ties, and the cases where nothing can be said."""

import math

import numpy as np
import pytest

from sfumato.metrics.classification import area_under_roc
from sfumato.metrics.selective import average_precision, error_found, risk_coverage, spearman

ERROR = np.array([0.1, 0.4, 0.0, 0.9])


def test_auroc_is_the_share_of_pairs_in_order_a_tie_half() -> None:
    score, wrong = np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True])
    assert area_under_roc(score, wrong) == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert average_precision(score, wrong) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_one_class_only_is_undefined() -> None:
    for wrong in (np.zeros(3, bool), np.ones(3, bool), np.zeros(0, bool)):
        assert math.isnan(area_under_roc(np.arange(len(wrong)) / 3, wrong))
        assert math.isnan(average_precision(np.arange(len(wrong)) / 3, wrong))


def test_risk_is_the_mean_error_of_the_most_certain() -> None:
    found = risk_coverage(np.array([0.2, 0.3, 0.1, 0.4]), ERROR)
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.risk, [0, 0.05, 0.5 / 3, 0.35])
    assert found.aurc == pytest.approx(found.aurc_oracle) == pytest.approx((0.05 + 0.5 / 3 + 0.35) / 4)
    assert found.aurc_random == pytest.approx(0.35)


def test_equal_uncertainties_are_worth_what_chance_is() -> None:
    same = np.full(4, 0.7)
    found = risk_coverage(same, ERROR)
    assert found.aurc == pytest.approx(found.aurc_random) == pytest.approx(ERROR.mean())
    assert error_found(same, ERROR, (0.25, 0.3)) == pytest.approx({0.25: 0.25, 0.3: 0.3})
    assert math.isnan(spearman(same, ERROR)) and math.isnan(spearman(ERROR, same))


def test_ties_are_the_mean_over_all_orders() -> None:
    rng = np.random.default_rng(0)
    error, doubt = rng.random(12), rng.integers(0, 3, 12).astype(float)
    orders = [risk_coverage(doubt + 1e-6 * rng.random(12), error).aurc for _ in range(4000)]
    assert risk_coverage(doubt, error).aurc == pytest.approx(np.mean(orders), abs=0.005)


def test_error_found_by_the_best_and_the_worst_order() -> None:
    assert error_found(ERROR, ERROR, (0.25, 0.5, 1.0)) == pytest.approx({0.25: 0.9 / 1.4, 0.5: 1.3 / 1.4, 1.0: 1.0})
    assert error_found(-ERROR, ERROR, (0.25, 0.5)) == pytest.approx({0.25: 0.0, 0.5: 0.1 / 1.4})
    assert error_found(ERROR, ERROR, (0.125,)) == pytest.approx({0.125: 0.45 / 1.4}), "half of the first case"
    assert math.isnan(error_found(ERROR, np.zeros(4))[0.3])


def test_spearman_is_of_the_ranks() -> None:
    assert spearman(ERROR**3, ERROR) == pytest.approx(1) and spearman(-ERROR, ERROR) == pytest.approx(-1)


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_case_or_none_is_no_crash(count: int) -> None:
    doubt, error = np.full(count, 0.3), np.full(count, 0.2)
    assert math.isnan(spearman(doubt, error))
    assert len(risk_coverage(doubt, error).risk) == count
    assert set(error_found(doubt, error)) == {0.1, 0.2, 0.3}
