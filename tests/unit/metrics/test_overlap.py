"""Overlap: closed forms, symmetry, empty masks, and lesions that were missed altogether."""

import math

import numpy as np
import pytest

from sfumato.errors import DataError
from sfumato.metrics.overlap import overlap, summarise_overlap

EMPTY = np.zeros((8, 8), np.uint8)


def square(row: int, column: int, *, size: int = 4, label: int = 1) -> np.ndarray:
    mask = np.zeros((8, 8), np.uint8)
    mask[row : row + size, column : column + size] = label
    return mask


def test_closed_form() -> None:
    shifted = overlap(square(0, 0), square(0, 1), classes=2)
    assert shifted.dice == pytest.approx([2 * 12 / 32])
    assert shifted.iou == pytest.approx([12 / 20])


def test_equals_counting_pixel_by_pixel_and_is_symmetric() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 4, (2, 5, 6, 7))
    there, back = overlap(first, second, classes=4), overlap(second, first, classes=4)
    for label in (1, 2, 3):
        a, b = first == label, second == label
        assert there.dice[label - 1] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert there.iou[label - 1] == pytest.approx((a & b).sum() / (a | b).sum())
    np.testing.assert_array_equal(there.dice, back.dice)
    np.testing.assert_allclose(there.iou, there.dice / (2 - there.dice))


def test_identity_is_one_and_background_is_not_scored() -> None:
    mask = square(2, 2, label=2)
    same = overlap(mask, mask, classes=3)
    np.testing.assert_array_equal(same.dice, [1.0, 1.0])
    np.testing.assert_array_equal(same.in_reference, [False, True])


def test_unsigned_masks_with_many_classes_do_not_wrap() -> None:
    mask = np.full((4, 4), 199, np.uint8)
    assert overlap(mask, mask, classes=200).in_prediction.sum() == 1


@pytest.mark.parametrize(
    ("prediction", "reference", "value"),
    [(EMPTY, EMPTY, 1.0), (square(0, 0), EMPTY, 0.0), (EMPTY, square(0, 0), 0.0)],
)
def test_empty_masks(prediction: np.ndarray, reference: np.ndarray, value: float) -> None:
    score = overlap(prediction, reference, classes=2)
    assert score.dice[0] == score.iou[0] == value


@pytest.mark.parametrize("missed", [0, 10, 50, 90, 100])
def test_missed_lesions_lower_the_mean(missed: int) -> None:
    hit, miss = overlap(square(0, 0), square(0, 0), classes=2), overlap(EMPTY, square(0, 0), classes=2)
    (summary,) = summarise_overlap([miss] * missed + [hit] * (100 - missed))
    assert summary.dice == summary.dice_in_reference == summary.sensitivity == pytest.approx(1 - missed / 100)
    assert (summary.cases, summary.missed, summary.with_reference) == (100, missed, 100)
    assert math.isnan(summary.specificity)


def test_hallucinations_on_healthy_images_cost() -> None:
    healthy, alarm = overlap(EMPTY, EMPTY, classes=2), overlap(square(0, 0), EMPTY, classes=2)
    (summary,) = summarise_overlap([healthy, healthy, healthy, alarm])
    assert summary.dice == summary.specificity == 0.75
    assert (summary.both_empty, summary.false_alarms, summary.with_reference) == (3, 1, 0)
    assert math.isnan(summary.dice_in_reference) and summary.dice_nnunet == 0.0


def test_easy_healthy_cases_do_not_hide_in_the_other_means() -> None:
    cases = [overlap(EMPTY, EMPTY, classes=2), overlap(square(0, 0), square(0, 1), classes=2)]
    (summary,) = summarise_overlap([*cases, overlap(square(0, 0), EMPTY, classes=2)])
    assert summary.dice == pytest.approx((1 + 0.75 + 0) / 3)
    assert summary.dice_in_reference == pytest.approx(0.75)
    assert summary.dice_nnunet == pytest.approx(0.75 / 2)
    assert summary.iou_in_reference == pytest.approx(0.6)


def test_each_class_has_its_own_summary() -> None:
    first, second = summarise_overlap([overlap(square(0, 0, label=1), square(0, 0, label=2), classes=3)])
    assert (first.false_alarms, first.missed, second.false_alarms, second.missed) == (1, 0, 0, 1)


def test_masks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(DataError, match=r"img_7: the prediction has shape \(8, 8\), the reference \(4, 4\)"):
        overlap(EMPTY, np.zeros((4, 4), np.uint8), classes=2, case="img_7")
    with pytest.raises(DataError, match=r"img_7: the reference has values \{0, 255\}"):
        overlap(EMPTY, square(0, 0, label=255), classes=2, case="img_7")
    with pytest.raises(DataError, match=r"values \{0, 2\}"):
        overlap(square(0, 0, label=2), EMPTY, classes=2)
    with pytest.raises(DataError, match="the prediction has values"):
        overlap(EMPTY.astype(np.int64) - 1, EMPTY, classes=2)
    with pytest.raises(ValueError, match="no case"):
        summarise_overlap([])
