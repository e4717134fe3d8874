"""All scores of a mask: other libraries on ordinary cases, our rule on the others, and the traps that means set."""

import math
import warnings

import numpy as np
import pytest
import torch
from monai.metrics import DiceMetric, HausdorffDistanceMetric
from numpy.testing import assert_allclose, assert_array_equal
from scipy import ndimage
from torchmetrics.functional.classification import multiclass_recall, multiclass_specificity
from torchmetrics.functional.segmentation import dice_score, mean_iou

from sfumato.errors import DataError
from sfumato.metrics import surface
from sfumato.metrics.masks import METRICS, Empty, MaskScores, score_masks
from sfumato.metrics.overlap import overlap

NAN = math.nan
DIAGONAL = math.hypot(16, 12)
EMPTY = np.zeros((16, 12), np.uint8)
FULL = np.ones((16, 12), np.uint8)


def square(row: int, column: int, *, size: int = 4, label: int = 1) -> np.ndarray:
    mask = EMPTY.copy()
    mask[row : row + size, column : column + size] = label
    return mask


def labels(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """A random mask of smooth pieces of all classes."""
    fields = ndimage.gaussian_filter(rng.standard_normal((classes, *shape)), (0, *(1.5,) * len(shape)))
    return fields.argmax(0)


def only(scores: MaskScores) -> dict[str, float]:
    """The scores of the first foreground class."""
    return {name: float(value[0]) for name, value in scores.values.items()}


@pytest.mark.parametrize("shape", [(24, 20), (9, 12, 10)])
def test_ordinary_masks_score_as_in_torchmetrics(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    prediction, reference = labels(rng, shape, 4), labels(rng, shape, 4)
    values = score_masks(prediction, reference, classes=4).values
    given = torch.from_numpy(prediction)[None], torch.from_numpy(reference)[None]
    named = {"num_classes": 4, "include_background": False, "input_format": "index"}
    flat = [each.flatten() for each in given]
    assert_allclose(values["dice"], dice_score(*given, average="none", **named)[0], rtol=1e-6)
    assert_allclose(values["iou"], mean_iou(*given, per_class=True, **named)[0], rtol=1e-6)
    assert_allclose(values["sensitivity"], multiclass_recall(*flat, 4, average="none")[1:], rtol=1e-6)
    assert_allclose(values["specificity"], multiclass_specificity(*flat, 4, average="none")[1:], rtol=1e-6)


def test_each_class_scores_as_its_mask_alone() -> None:
    rng, spacing = np.random.default_rng(1), (2.0, 1.0, 0.5)
    prediction, reference = labels(rng, (10, 12, 14), 3), labels(rng, (10, 12, 14), 3)
    together = score_masks(prediction, reference, classes=3, spacing=spacing, tolerance=2.0)
    assert tuple(together.values) == METRICS
    for label in (1, 2):
        a, b = prediction == label, reference == label
        between = surface.distances(a, b, spacing=spacing)
        assert together.values["hd95"][label - 1] == surface.hd95(between)
        assert together.values["assd"][label - 1] == surface.assd(between)
        shared = surface.nsd(a, b, tolerance=2.0, spacing=spacing)
        assert together.values["nsd"][label - 1] == pytest.approx(shared, rel=1e-12)
        assert together.tp[label - 1] == (a & b).sum()
        assert together.fp[label - 1] == (a & ~b).sum()
        assert together.fn[label - 1] == (b & ~a).sum()
        assert together.tn[label - 1] == (~b & ~a).sum()


def test_overlap_is_that_of_overlap() -> None:
    rng = np.random.default_rng(2)
    prediction, reference = labels(rng, (20, 20), 5), labels(rng, (20, 20), 3)
    scores, expected = score_masks(prediction, reference, classes=6), overlap(prediction, reference, classes=6)
    assert_array_equal(scores.values["dice"], expected.dice)
    assert_array_equal(scores.values["iou"], expected.iou)
    assert_array_equal(scores.in_prediction, expected.in_prediction)
    assert_array_equal(scores.in_reference, expected.in_reference)


PERFECT = {"dice": 1.0, "iou": 1.0, "hd95": 0.0, "assd": 0.0, "nsd": 1.0, "volume_difference": 0.0}
NOTHING_FOUND = {"dice": 0.0, "iou": 0.0, "hd95": DIAGONAL, "assd": DIAGONAL, "nsd": 0.0}
ALL_NAN = dict.fromkeys(METRICS, NAN)
SINGLE = square(5, 5, size=1)
CORNER = square(0, 0)


@pytest.mark.parametrize(
    ("prediction", "reference", "empty", "expected"),
    [
        pytest.param(EMPTY, EMPTY, "one", PERFECT | {"specificity": 1.0}, id="both empty"),
        pytest.param(
            EMPTY, EMPTY, "one", {"sensitivity": NAN, "relative_volume_difference": NAN}, id="no pixel to be found"
        ),
        pytest.param(EMPTY, EMPTY, "nan", ALL_NAN, id="both empty, nan"),
        pytest.param(EMPTY, EMPTY, "nnunet", ALL_NAN, id="both empty, nnunet"),
        pytest.param(EMPTY, CORNER, "one", NOTHING_FOUND | {"sensitivity": 0.0}, id="missed"),
        pytest.param(
            EMPTY,
            CORNER,
            "one",
            {"volume_difference": -16.0, "relative_volume_difference": -1.0, "specificity": 1.0},
            id="volume missed",
        ),
        pytest.param(EMPTY, CORNER, "nan", NOTHING_FOUND, id="missed, nan"),
        pytest.param(
            EMPTY, CORNER, "nnunet", NOTHING_FOUND | dict.fromkeys(("hd95", "assd"), NAN), id="missed, nnunet"
        ),
        pytest.param(CORNER, EMPTY, "one", NOTHING_FOUND | {"sensitivity": NAN}, id="hallucinated"),
        pytest.param(
            CORNER,
            EMPTY,
            "one",
            {"volume_difference": 16.0, "relative_volume_difference": NAN, "specificity": 176 / 192},
            id="volume hallucinated",
        ),
        pytest.param(CORNER, EMPTY, "nan", NOTHING_FOUND, id="hallucinated, nan"),
        pytest.param(
            CORNER, EMPTY, "nnunet", NOTHING_FOUND | dict.fromkeys(("hd95", "assd"), NAN), id="hallucinated, nnunet"
        ),
        pytest.param(SINGLE, SINGLE, "one", PERFECT | {"sensitivity": 1.0}, id="one pixel"),
        pytest.param(
            SINGLE, square(5, 8, size=1), "one", {"dice": 0.0, "hd95": 3.0, "assd": 3.0, "nsd": 0.0}, id="3 pixels off"
        ),
        pytest.param(SINGLE, square(6, 6, size=1), "one", {"hd95": math.sqrt(2)}, id="a pixel and its diagonal one"),
        pytest.param(CORNER, CORNER, "one", PERFECT, id="in the corner"),
        pytest.param(CORNER, square(1, 0), "one", {"hd95": 1.0, "nsd": 1.0, "dice": 0.75}, id="at the border, 1 off"),
        pytest.param(FULL, FULL, "one", PERFECT | {"sensitivity": 1.0, "specificity": NAN}, id="everything"),
        pytest.param(
            FULL, CORNER, "one", {"sensitivity": 1.0, "specificity": 0.0, "dice": 32 / 208}, id="everything predicted"
        ),
        pytest.param(CORNER, FULL, "one", {"specificity": NAN, "sensitivity": 16 / 192}, id="everything in reference"),
        pytest.param(
            square(2, 2),
            square(2, 2, label=2),
            "one",
            {"dice": 0.0, "hd95": DIAGONAL, "volume_difference": 16.0},
            id="the other class",
        ),
        pytest.param(
            square(2, 2, label=2), EMPTY, "one", PERFECT, id="the other class is hallucinated, this one is right"
        ),
        pytest.param(
            square(0, 0, size=12), square(4, 4, size=4), "one", {"hd95": math.sqrt(32)}, id="one inside the other"
        ),
    ],
)
def test_rule(prediction: np.ndarray, reference: np.ndarray, empty: Empty, expected: dict[str, float]) -> None:
    scores = only(score_masks(prediction, reference, classes=3, empty=empty))
    assert {name: scores[name] for name in expected} == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("empty", ["one", "nan", "nnunet"])
def test_penalised_says_where_the_diagonal_stands(empty: Empty) -> None:
    prediction, reference = square(0, 0) + square(8, 8, label=2), square(0, 0) + square(8, 0, label=3)
    scores = score_masks(prediction, reference, classes=5, empty=empty)
    assert_array_equal(scores.penalised, [False, empty != "nnunet", empty != "nnunet", False])
    assert_array_equal(scores.in_prediction, [True, True, False, False])
    assert_array_equal(scores.in_reference, [True, False, True, False])
    assert scores.pixels == EMPTY.size


def test_volumes_and_diagonal_are_in_millimetres() -> None:
    prediction, reference = np.zeros((2, 4, 10, 6), np.uint8)
    reference[:2, :3, :2] = 1
    scores = only(score_masks(prediction, reference, classes=2, spacing=(5.0, 0.5, 2.0)))
    assert scores["hd95"] == scores["assd"] == pytest.approx(math.sqrt(20**2 + 5**2 + 12**2))
    assert scores["volume_difference"] == -12 * 5.0
    assert scores["relative_volume_difference"] == -1.0
    found = only(score_masks(reference, np.roll(reference, 1, 0), classes=2, spacing=(5.0, 0.5, 2.0), tolerance=4.0))
    assert found["hd95"] == 5.0
    assert found["volume_difference"] == found["relative_volume_difference"] == 0.0


def test_without_spacing_a_pixel_is_one() -> None:
    pair = square(2, 2), square(3, 4)
    without, ones = (only(score_masks(*pair, classes=2, spacing=spacing)) for spacing in (None, (1, 1)))
    assert without == ones


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "i8", "u8", ">i4"])
def test_any_integers_are_class_indices(kind: str) -> None:
    prediction, reference = labels(np.random.default_rng(4), (2, 12, 10), 3)
    plain = score_masks(prediction, reference, classes=3).values
    stored = score_masks(prediction.astype(kind), reference.astype(kind), classes=3).values
    for name in METRICS:
        assert_array_equal(stored[name], plain[name])


def test_scores_are_those_asked_for() -> None:
    every = score_masks(square(2, 2), square(3, 4), classes=2).values
    for wanted in (("dice",), ("nsd",), ("assd", "iou"), ()):
        some = score_masks(square(2, 2), square(3, 4), classes=2, metrics=wanted).values
        assert tuple(some) == wanted
        assert all(some[name] == every[name] for name in wanted)


def test_pixels_that_do_not_count_are_beyond_the_edge_of_the_image() -> None:
    rng, spacing = np.random.default_rng(3), (2.0, 1.0)
    prediction, reference = labels(rng, (20, 18), 3).astype(np.uint8), labels(rng, (20, 18), 3).astype(np.uint8)
    inside, where = np.s_[3:15, 4:17], np.zeros((20, 18), bool)
    where[inside] = True
    unknown = np.where(where, reference, 255).astype(np.uint8)
    part = score_masks(prediction, unknown, classes=3, spacing=spacing, where=where)
    cut = score_masks(prediction[inside], reference[inside], classes=3, spacing=spacing)
    for name in METRICS:
        assert_allclose(part.values[name], cut.values[name], rtol=1e-12)
    assert part.pixels == 12 * 13


def test_a_class_where_nothing_counts_is_absent() -> None:
    where = square(8, 4) == 0
    scores = score_masks(square(8, 4), EMPTY, classes=2, where=where)
    assert only(scores)["dice"] == 1.0 and not scores.in_prediction[0]


@pytest.mark.parametrize("empty", ["one", "nan", "nnunet"])
def test_without_a_pixel_that_counts_there_is_no_score(empty: Empty) -> None:
    scores = score_masks(FULL, FULL, classes=2, where=np.zeros(FULL.shape, bool), empty=empty)
    assert all(math.isnan(value) for value in only(scores).values()) and scores.pixels == 0


@pytest.mark.parametrize("missed", [0, 10, 50, 90])
def test_missed_lesions_raise_the_mean_distance(missed: int) -> None:
    """All that are found are 4 pixels off; the mean that drops what was missed does not notice."""
    predictions = [EMPTY] * missed + [square(6, 6)] * (100 - missed)
    mean = np.mean([only(score_masks(each, square(6, 2), classes=2))["hd95"] for each in predictions])
    assert mean == pytest.approx(4.0 + missed / 100 * (DIAGONAL - 4.0))
    assert of_monai(HausdorffDistanceMetric(percentile=95), predictions, [square(6, 2)] * 100) == 4.0


@pytest.mark.parametrize("hallucinated", [0, 10, 50])
def test_hallucinations_lower_the_mean_dice(hallucinated: int) -> None:
    """Half of the cases have a lesion, which is found exactly."""
    predictions = [square(2, 2)] * 50 + [square(2, 2)] * hallucinated + [EMPTY] * (50 - hallucinated)
    references = [square(2, 2)] * 50 + [EMPTY] * 50
    pairs = zip(predictions, references, strict=True)
    mean = np.mean([only(score_masks(*pair, classes=2, metrics=["dice"]))["dice"] for pair in pairs])
    assert mean == 1 - hallucinated / 100
    assert of_monai(DiceMetric(include_background=False), predictions, references) == 1.0


def of_monai(metric: DiceMetric | HausdorffDistanceMetric, predictions: list, references: list) -> float:
    """The mean over cases, as the library's own metric takes it."""
    one_hot = [
        torch.from_numpy(np.stack([1 - np.stack(masks), np.stack(masks)], axis=1))
        for masks in (predictions, references)
    ]
    with warnings.catch_warnings(action="ignore"):
        metric(*one_hot)
        return float(metric.aggregate())


def test_one_far_pixel_is_seen_by_hd_assd_and_nsd_but_not_by_hd95() -> None:
    reference = square(2, 2, size=8)
    prediction = reference.copy()
    prediction[15, 11] = 1
    assert surface.hd(surface.distances(prediction == 1, reference == 1, spacing=(1.0, 1.0))) == math.hypot(6, 2)
    scores = only(score_masks(prediction, reference, classes=2))
    assert scores["hd95"] == 0.0
    assert scores["assd"] == pytest.approx(math.hypot(6, 2) / 57)
    assert 0.9 < scores["nsd"] < 1.0


def test_masks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"img_7: the prediction has shape \(16, 12\), the reference \(4, 4\)"
    ) as caught:
        score_masks(EMPTY, np.zeros((4, 4), np.uint8), classes=2, case="img_7")
    assert caught.value.code == "SCORE-001"
    with pytest.raises(DataError, match=r"img_7: the reference has values \{0, 255\}") as caught:
        score_masks(EMPTY, square(0, 0, label=255), classes=2, case="img_7")
    assert caught.value.code == "SCORE-002"
    with pytest.raises(DataError, match=r"the prediction has values \{0, 2\}"):
        score_masks(square(0, 0, label=2), EMPTY, classes=2)
    with pytest.raises(DataError, match=r"the reference has values \{0, 255\}"):  # of pixels that count
        score_masks(EMPTY, square(0, 0, label=255), classes=2, where=square(9, 4) == 0)
    with pytest.raises(DataError, match=r"pixels that count has shape \(2, 2\)"):
        score_masks(EMPTY, EMPTY, classes=2, where=np.ones((2, 2), bool))


def test_questions_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="no such score: hd; there are dice, iou"):
        score_masks(EMPTY, EMPTY, classes=2, metrics=["dice", "hd"])
    for spacing in ((1.0,), (1.0, 1.0, 1.0), (0.0, 1.0), (NAN, 1.0), (math.inf, 1.0)):
        with pytest.raises(ValueError, match="not one positive length for each of 2 axes"):
            score_masks(EMPTY, EMPTY, classes=2, spacing=spacing)
    for tolerance in (-1.0, NAN):
        with pytest.raises(ValueError, match="the tolerance is"):
            score_masks(EMPTY, EMPTY, classes=2, tolerance=tolerance)
    with pytest.raises((ValueError, TypeError), match="zero"):  # the types say so too, where they are checked
        score_masks(EMPTY, EMPTY, classes=2, empty="zero")
    with pytest.raises(ValueError, match="masks of 1 dimensions"):
        score_masks(EMPTY[0], EMPTY[0], classes=2)
