"""Scores of classifiers: equal to scikit-learn and SciPy, and honest about classes that do not occur."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score, roc_auc_score

from sfumato.metrics.classification import auroc, balanced, balanced_accuracy, confusion_of, each_class
from sfumato.metrics.interval import share_interval


def drawn(*, cases: int = 80, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes and probabilities with many ties."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, cases)
    scores = rng.integers(1, 6, (cases, classes)).astype(float)
    scores[np.arange(cases), truth] += rng.integers(0, 3, cases)
    return truth, scores / scores.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3])
def test_auroc_is_that_of_scikit_learn_with_weights_and_ties(classes: int) -> None:
    truth, scores = drawn(classes=classes)
    weights = np.random.default_rng(1).integers(0, 4, (5, len(truth))).astype(float)
    for row, area in zip(weights, auroc(scores, truth, weights), strict=True):
        given = scores[:, 1] if classes == 2 else scores
        one = [roc_auc_score(truth == c, scores[:, c], sample_weight=row) for c in range(classes)]
        expected = roc_auc_score(truth, given, sample_weight=row) if classes == 2 else np.mean(one)
        assert area == pytest.approx(expected, abs=1e-12)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    truth, scores = drawn()
    predicted = scores.argmax(1)
    weights = np.random.default_rng(1).integers(0, 4, (5, len(truth))).astype(float)
    expected = [balanced_accuracy_score(truth, predicted, sample_weight=row) for row in weights]
    np.testing.assert_allclose(balanced_accuracy(predicted, truth, weights), expected, atol=1e-12)
    share = balanced(confusion_of(truth, predicted, classes=3))
    assert (
        share.mean == pytest.approx(balanced_accuracy_score(truth, predicted)) and share.low < share.mean < share.high
    )


def test_a_draw_without_a_class_says_nothing() -> None:
    truth, scores = drawn(classes=2)
    weights = np.where(truth == 1, 0.0, 1.0)[None]
    assert np.isnan(auroc(scores, truth, weights)).all()
    assert np.isnan(balanced_accuracy(scores.argmax(1), truth, weights)).all()


def test_each_class_by_the_definitions() -> None:
    truth, scores = drawn()
    predicted = scores.argmax(1)
    of_class = each_class(confusion_of(truth, predicted, classes=3))
    np.testing.assert_allclose([one.f1 for one in of_class], f1_score(truth, predicted, average=None))
    for c, one in enumerate(of_class):
        assert one.sensitivity.mean == pytest.approx(recall_score(truth == c, predicted == c))
        assert one.specificity.mean == pytest.approx(recall_score(truth != c, predicted != c))
        assert one.always_f1 == pytest.approx(f1_score(truth == c, np.ones_like(truth)))
        assert one.prevalence == pytest.approx((truth == c).mean()) and one.cases == (truth == c).sum()


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (3, 10), (10, 10), (57, 60)])
def test_the_interval_of_a_share_is_that_of_scipy(hits: int, total: int) -> None:
    expected = stats.binomtest(hits, total).proportion_ci(method="wilson")
    np.testing.assert_allclose(share_interval(hits, total)[:3], [hits / total, *expected], atol=1e-12)


def test_classes_that_do_not_occur() -> None:
    confusion = np.array([[5, 1, 0], [2, 4, 0], [0, 0, 0]])
    *_, absent = each_class(confusion)
    assert absent.cases == 0 and math.isnan(absent.sensitivity.mean) and math.isnan(absent.f1)
    assert balanced(confusion).mean == pytest.approx((5 / 6 + 4 / 6) / 2)
