"""The order of review beside those of uncertainty and of a twin, with the same errors."""

import numpy as np
import pytest

from sfumato.evaluation.masks.summary import _is_order, _order_of_review
from sfumato.metrics.selective import error_found, risk_coverage

ERROR = np.linspace(0.05, 0.95, 20)
BEST = np.arange(20.0, 0.0, -1.0)
"""Ranks: the largest error first."""


def test_other_orders_are_measured_on_the_same_errors() -> None:
    worst, best = -ERROR, ERROR
    found = _order_of_review(ERROR, worst, BEST, None, {"uncertainty": worst, "twin": best})["other_orders"]
    assert found["uncertainty"]["aurc"] == pytest.approx(risk_coverage(worst, ERROR).aurc, abs=1e-6)
    assert found["uncertainty"]["found"]["0.1"] == pytest.approx(error_found(worst, ERROR)[0.1], abs=1e-6)
    assert (found["uncertainty"]["spearman"], found["twin"]["spearman"]) == (-1, 1)
    low, high = found["uncertainty"]["found_difference"]["0.3"]
    assert 0 < low < error_found(best, ERROR)[0.3] - error_found(worst, ERROR)[0.3] < high
    low, high = found["uncertainty"]["aurc_difference"]
    assert low < risk_coverage(best, ERROR).aurc - risk_coverage(worst, ERROR).aurc < high < 0
    assert set(found["twin"]["found_difference"]["0.2"]) == {0}


def test_patients_are_drawn_again_with_all_their_cases() -> None:
    """Of two patients, one of whom an order does well by and the other not, nothing is known."""
    good_and_bad = np.concatenate([ERROR[:10], -ERROR[10:]])
    ends = []
    for groups in (None, ["one"] * 10 + ["other"] * 10):
        found = _order_of_review(ERROR, good_and_bad, BEST, groups, {"uncertainty": good_and_bad})
        ends.append(found["other_orders"]["uncertainty"]["found_difference"]["0.3"])
    assert ends[0][0] > 0 and ends[1][0] == 0


def test_without_any_error_nothing_is_claimed() -> None:
    found = _order_of_review(np.zeros(20), ERROR, BEST, None, {"uncertainty": ERROR})["other_orders"]["uncertainty"]
    assert found["found"]["0.3"] is None and found["found_difference"]["0.3"] == [None, None]


def test_an_order_of_uncertainty_is_not_compared_with_itself() -> None:
    assert _is_order(BEST, ERROR) and not _is_order(BEST, -ERROR)
    assert _is_order(np.array([2.0, 1.0, 3.0]), np.array([0.5, 0.5, 0.1])), "equal ones come as they come"
