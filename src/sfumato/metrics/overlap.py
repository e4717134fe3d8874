"""Overlap of two class-index masks, per case and class, and its honest mean over cases.

With A the predicted and B the reference pixels of a class,

    Dice = 2 |A ∩ B| / (|A| + |B|) = 2 TP / (2 TP + FP + FN)                 (1)
    IoU  =   |A ∩ B| / |A ∪ B|     =   TP / (TP + FP + FN)                   (2)

in pixels counted as true and false positives and negatives, of which with the volume v of a pixel also follow

    sensitivity = TP / (TP + FN)                 specificity = TN / (TN + FP)                                  (3)
    volume difference = v (FP - FN)              relative = (FP - FN) / (TP + FN)                              (4)

Overlap is undefined when neither mask has the class. Here that case counts 1 (the model was right to find nothing) and
is counted in `both_empty`; one empty mask counts 0. No case is left out of a mean without a field that says so: a mean
which drops the cases it cannot score does not change when lesions are missed altogether. Whether a class was *found* at
all is answered separately, by the sensitivity and specificity of its presence (Maier-Hein et al., Metrics Reloaded,
Nature Methods 2024). Class 0 is the background and is never scored.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from sfumato.errors import DataError

Classes = Float[np.ndarray, " foreground"]
"""One number for each foreground class: classes 1, 2, ... in this order."""

IndexMask = Integer[np.ndarray, "..."]
"""A mask: the class index of each pixel, any number of dimensions."""


_Count = Integer[np.ndarray, " foreground"]


class Counts(NamedTuple):
    """Pixels of each foreground class.

    Attributes:
        tp: in both masks.
        fp: in the prediction alone.
        fn: in the reference alone.
        tn: in neither.
        volume: of a pixel, in the square or cube of the unit of the spacing.
    """

    tp: _Count
    fp: _Count
    fn: _Count
    tn: _Count
    volume: float = 1.0

    @classmethod
    def of(cls, counted: Integer[np.ndarray, "classes classes"], *, volume: float = 1.0) -> "Counts":
        """From the table of `confusion`."""
        tp = counted.diagonal()[1:]
        fp, fn = counted.sum(axis=1)[1:] - tp, counted.sum(axis=0)[1:] - tp
        return cls(tp, fp, fn, int(counted.sum()) - tp - fp - fn, volume)


class Overlap(NamedTuple):
    """The overlap of one case.

    Attributes:
        dice: equation (1) of each foreground class, in [0, 1].
        iou: equation (2) of each foreground class, in [0, 1].
        in_prediction: whether the prediction has the class at all.
        in_reference: whether the reference has the class at all.
    """

    dice: Classes
    iou: Classes
    in_prediction: Bool[np.ndarray, " foreground"]
    in_reference: Bool[np.ndarray, " foreground"]


class _Summary(NamedTuple):
    """One foreground class over all cases. A mean over no case at all is nan.

    Attributes:
        cases: number of cases, every one of them in `dice` and `iou`.
        dice: mean over all cases, both-empty cases counting 1.
        iou: mean over all cases, both-empty cases counting 1.
        dice_in_reference: mean over the cases whose reference has the class ("Dice | reference not empty").
        iou_in_reference: the same for the IoU.
        dice_nnunet: mean over the cases where at least one mask has the class, as nnU-Net's `summary.json` does.
        sensitivity: share of the cases with the class in which some of it was predicted.
        specificity: share of the cases without the class in which none of it was predicted.
        with_reference: number of cases whose reference has the class.
        both_empty: number of cases where neither mask has the class.
        missed: number of cases whose reference has the class and whose prediction has not.
        false_alarms: number of cases whose prediction has the class and whose reference has not.
    """

    cases: int
    dice: float
    iou: float
    dice_in_reference: float
    iou_in_reference: float
    dice_nnunet: float
    sensitivity: float
    specificity: float
    with_reference: int
    both_empty: int
    missed: int
    false_alarms: int


def overlap(prediction: IndexMask, reference: IndexMask, *, classes: int, case: str = "this case") -> Overlap:
    """Overlap of a predicted mask with its reference, for each foreground class.

    Args:
        prediction: class indices 0 .. classes - 1.
        reference: class indices of the same shape.
        classes: number of classes with the background.
        case: name of the case or its file, for the message if the masks cannot be compared.

    Raises:
        DataError: the shapes differ, or a mask holds a value that is no class index (0/255 masks are the usual cause).
    """
    counts = Counts.of(confusion(prediction, reference, classes=classes, case=case))
    return Overlap(
        dice=dice(counts),
        iou=iou(counts),
        in_prediction=counts.tp + counts.fp > 0,
        in_reference=counts.tp + counts.fn > 0,
    )


def dice(counts: Counts) -> Classes:
    """Equation (1), 1 where neither mask has the class."""
    return ratio(2.0 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> Classes:
    """Equation (2), 1 where neither mask has the class."""
    return ratio(1.0 * counts.tp, counts.tp + counts.fp + counts.fn)


def sensitivity(counts: Counts) -> Classes:
    """Equation (3), of pixels; nan where the reference has not the class."""
    return ratio(1.0 * counts.tp, counts.tp + counts.fn, undefined=math.nan)


def specificity(counts: Counts) -> Classes:
    """Equation (3), of pixels; nan where the reference has nothing else."""
    return ratio(1.0 * counts.tn, counts.tn + counts.fp, undefined=math.nan)


def volume_difference(counts: Counts) -> Classes:
    """Equation (4): predicted size less true size."""
    difference: Classes = counts.volume * (counts.fp - counts.fn)
    return difference


def relative_volume_difference(counts: Counts) -> Classes:
    """Equation (4), in shares of the true size; nan where the reference has not the class."""
    return ratio(1.0 * (counts.fp - counts.fn), counts.tp + counts.fn, undefined=math.nan)


def confusion(
    prediction: IndexMask,
    reference: IndexMask,
    *,
    classes: int,
    where: Bool[np.ndarray, "..."] | None = None,
    case: str = "this case",
) -> Integer[np.ndarray, "classes classes"]:
    """Number of pixels with each pair of classes: row = predicted class, column = class of the reference.

    Args:
        prediction: class indices 0 .. classes - 1.
        reference: class indices of the same shape.
        classes: number of classes with the background.
        where: pixels that count, all by default; the others may hold any value.
        case: name of the case or its file, for the message if the masks cannot be compared.

    Raises:
        DataError: the shapes differ, or a mask holds a value that is no class index (0/255 masks are the usual cause).
    """
    _check_shape(prediction, reference, what=f"{case}: the prediction")
    if where is not None:
        _check_shape(where, reference, what=f"{case}: the map of pixels that count")
        prediction, reference = prediction[where], reference[where]
    _check_values(prediction, classes=classes, what=f"{case}: the prediction")
    _check_values(reference, classes=classes, what=f"{case}: the reference")
    pairs = prediction.astype(np.int64).ravel() * classes + reference.astype(np.int64).ravel()
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def ratio(
    part: Float[np.ndarray, "*n"], whole: Integer[np.ndarray, "*n"], *, undefined: float = 1.0
) -> Float[np.ndarray, "*n"]:
    """`part / whole`, and `undefined` where the whole is empty: 1 if nothing was to be found and nothing was."""
    value: Float[np.ndarray, "*n"] = np.divide(part, whole, out=np.full_like(part, undefined), where=whole > 0)
    return value


def summarise_overlap(cases: Sequence[Overlap]) -> tuple[_Summary, ...]:
    """Means, presence and counts over cases, one `_Summary` for each foreground class.

    Raises:
        ValueError: there is no case.
    """
    if not cases:
        raise ValueError("no case to summarise")
    dice, iou = np.stack([case.dice for case in cases]), np.stack([case.iou for case in cases])
    predicted = np.stack([case.in_prediction for case in cases])
    expected = np.stack([case.in_reference for case in cases])
    return tuple(_summary(dice[:, k], iou[:, k], predicted[:, k], expected[:, k]) for k in range(dice.shape[1]))


def _summary(
    dice: Float[np.ndarray, " n"],
    iou: Float[np.ndarray, " n"],
    predicted: Bool[np.ndarray, " n"],
    expected: Bool[np.ndarray, " n"],
) -> _Summary:
    return _Summary(
        cases=len(dice),
        dice=float(dice.mean()),
        iou=float(iou.mean()),
        dice_in_reference=_mean(dice[expected]),
        iou_in_reference=_mean(iou[expected]),
        dice_nnunet=_mean(dice[expected | predicted]),
        sensitivity=_mean(predicted[expected]),
        specificity=_mean(~predicted[~expected]),
        with_reference=int(expected.sum()),
        both_empty=int((~expected & ~predicted).sum()),
        missed=int((expected & ~predicted).sum()),
        false_alarms=int((predicted & ~expected).sum()),
    )


def _mean(values: Float[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _check_shape(mask: IndexMask | Bool[np.ndarray, "..."], reference: IndexMask, *, what: str) -> None:
    if mask.shape != reference.shape:
        raise DataError(
            f"{what} has shape {mask.shape}, the reference {reference.shape}",
            expected="masks of the same size",
            remedy="score predictions in the size of their input; check that the files belong together",
            code="SCORE-001",
        )


def _check_values(mask: IndexMask, *, classes: int, what: str) -> None:
    if mask.size and (mask.min() < 0 or mask.max() >= classes):
        found = ", ".join(map(str, np.unique(mask)[:8]))
        raise DataError(
            f"{what} has values {{{found}}}",
            expected=f"class indices 0..{classes - 1}",
            remedy="map the values of the file (0/255, palette) to class indices when reading it",
            code="SCORE-002",
        )
