"""All scores of one predicted mask against its reference, per foreground class, with a written rule for empty masks.

Those of counted pixels are in `overlap`, those of outlines in `surface`; `table` names them all. Where a mask is empty
most tools answer nan, and the mean leaves the case out: with 90 of 100 lesions missed, the mean HD95 is that of the ten
which were found. The rule here (`empty="one"`):

    neither mask has the class     Dice = IoU = NSD = 1, HD95 = ASSD = 0: the model was right to find nothing
    one of the two has it          Dice = IoU = NSD = 0, HD95 = ASSD = the diagonal of the image; `penalised`

For comparison with other tools, `"nan"` makes every score of the first kind nan, and `"nnunet"` moreover the distances
of the second kind. Under each rule the sensitivity and the relative volume difference of a class that the reference
does not have are nan: there is no pixel to find, and nothing to relate to. So is the specificity where the reference
has nothing else. Where no pixel counts at all, every score is nan. (After Maier-Hein et al., Metrics Reloaded, Nature
Methods 2024, who set undefined distances to the worst case.)
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Bool, Integer
from scipy import ndimage

from sfumato.metrics.overlap import Classes, Counts, IndexMask, confusion
from sfumato.metrics.surface import Mask, MaskPair
from sfumato.metrics.table import SCORES, OfCounts, OfPair

Empty = Literal["one", "nan", "nnunet"]
"""What counts where a mask is empty."""

METRICS = tuple(SCORES)
"""The names of all scores."""

_Count = Integer[np.ndarray, " foreground"]
_Flag = Bool[np.ndarray, " foreground"]


class MaskScores(NamedTuple):
    """The scores of one case; arrays hold one number for each foreground class.

    Attributes:
        values: the scores by name, nan where the rule says undefined. Dice, IoU, NSD, sensitivity and specificity lie
            in [0, 1]; HD95 and ASSD are in the unit of the spacing, the volume difference in its square or cube.
        in_prediction: whether the prediction has the class at all.
        in_reference: whether the reference has the class at all.
        penalised: one of the two has the class, the other has not, and the distances are the diagonal of the image.
        tp: pixels of the class in both.
        fp: pixels of the class in the prediction alone.
        fn: pixels of the class in the reference alone.
        tn: pixels of the class in neither.
        pixels: number of pixels that count, tp + fp + fn + tn.
    """

    values: Mapping[str, Classes]
    in_prediction: _Flag
    in_reference: _Flag
    penalised: _Flag
    tp: _Count
    fp: _Count
    fn: _Count
    tn: _Count
    pixels: int


def score_masks(
    prediction: IndexMask,
    reference: IndexMask,
    *,
    classes: int,
    spacing: Sequence[float] | None = None,
    tolerance: float = 1.0,
    metrics: Sequence[str] = METRICS,
    empty: Empty = "one",
    where: Bool[np.ndarray, "..."] | None = None,
    case: str = "this case",
) -> MaskScores:
    """The scores of a predicted mask, for each foreground class.

    Args:
        prediction: class indices 0 .. classes - 1, two- or three-dimensional.
        reference: class indices of the same shape.
        classes: number of classes with the background.
        spacing: size of a pixel along each axis, in mm; without it distances and volumes are in pixels.
        tolerance: distance that the NSD still counts as agreement, in the same unit.
        metrics: the scores wanted, of `METRICS`.
        empty: what counts where a mask is empty.
        where: pixels that count, all by default. The others are as if beyond the edge of the image: neither mask has
            a class there, and they may hold any value.
        case: name of the case or its file, for the message if the masks cannot be compared.

    Raises:
        DataError: the shapes differ, or a mask holds a value that is no class index.
        ValueError: an unknown score or rule, a negative tolerance, or a spacing that does not fit the dimensions.
    """
    counted = confusion(prediction, reference, classes=classes, where=where, case=case)
    size = _checked(prediction.ndim, spacing=spacing, tolerance=tolerance, metrics=metrics, empty=empty)
    counts, pixels = Counts.of(counted, volume=float(math.prod(size))), int(counted.sum())
    in_prediction, in_reference = counts.tp + counts.fp > 0, counts.tp + counts.fn > 0
    penalised = (in_prediction != in_reference) & (empty != "nnunet")
    diagonal = math.hypot(*np.multiply(prediction.shape, size))
    counting, comparing = _kinds(metrics)
    values = {name: of.score(counts) for name, of in counting.items()}
    for name, of in comparing.items():
        values[name] = _where_empty(of, in_prediction | in_reference, penalised, diagonal=diagonal)
    if comparing:
        for label, ours, theirs in _pairs(prediction, reference, in_prediction & in_reference, where=where):
            pair = MaskPair(ours, theirs, spacing=size, tolerance=tolerance)
            for name, of in comparing.items():
                values[name][label - 1] = of.score(pair)
    undefined = (pixels == 0) | ((empty != "one") & ~in_prediction & ~in_reference)
    return MaskScores(
        values={name: np.where(undefined, np.nan, values[name]) for name in metrics},
        in_prediction=in_prediction,
        in_reference=in_reference,
        penalised=penalised,
        tp=counts.tp,
        fp=counts.fp,
        fn=counts.fn,
        tn=counts.tn,
        pixels=pixels,
    )


def _checked(
    dimensions: int, *, spacing: Sequence[float] | None, tolerance: float, metrics: Sequence[str], empty: str
) -> Sequence[float]:
    """The spacing, 1 along each axis without one, if everything asked for makes sense."""
    unknown = set(metrics) - set(METRICS)
    if unknown:
        raise ValueError(f"no such score: {', '.join(sorted(unknown))}; there are {', '.join(METRICS)}")
    if empty not in get_args(Empty):
        raise ValueError(f"no such rule for empty masks: {empty}; there are {', '.join(get_args(Empty))}")
    if not tolerance >= 0:
        raise ValueError(f"the tolerance is {tolerance}, a distance below zero")
    if dimensions not in (2, 3):
        raise ValueError(f"masks of {dimensions} dimensions; only 2 and 3 are scored")
    size = [1.0] * dimensions if spacing is None else spacing
    if len(size) != dimensions or not all(0 < step < math.inf for step in size):
        raise ValueError(f"the spacing {tuple(size)} is not one positive length for each of {dimensions} axes")
    return size


def _kinds(metrics: Sequence[str]) -> tuple[Mapping[str, OfCounts], Mapping[str, OfPair]]:
    """The scores wanted, those of counted pixels and those of outlines."""
    wanted = {name: SCORES[name] for name in metrics}
    return (
        {name: of for name, of in wanted.items() if isinstance(of, OfCounts)},
        {name: of for name, of in wanted.items() if isinstance(of, OfPair)},
    )


def _where_empty(of: OfPair, present: _Flag, penalised: _Flag, *, diagonal: float) -> Classes:
    """What a score of outlines is where one mask is empty or both are; nan where it is still to be measured."""
    one = np.where(penalised, diagonal, math.nan) if of.one is None else of.one
    return np.where(present, one, of.neither)


def _pairs(
    prediction: IndexMask, reference: IndexMask, present: _Flag, *, where: Bool[np.ndarray, "..."] | None
) -> Iterator[tuple[int, Mask, Mask]]:
    """Both masks of each class that both have, cut to the box that holds them."""
    if where is not None:
        prediction, reference = np.where(where, prediction, 0), np.where(where, reference, 0)
    boxes = zip(*(ndimage.find_objects(mask, max_label=len(present)) for mask in (prediction, reference)), strict=True)
    for label, (ours, theirs) in enumerate(boxes, start=1):
        if present[label - 1]:
            box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(ours, theirs, strict=True))
            yield label, prediction[box] == label, reference[box] == label
