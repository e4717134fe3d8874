"""A model beside the best mask that is the same for every image, in the sizes of the references.

As `tasks.constant_mask`, without what is usual at each pixel: images of several sizes have no pixels in common. With
b of N pixels in a reference, a mask with the target on every pixel has the Dice 2 b / (N + b), one without it 1 where
b = 0 and else 0; where both are empty the written rule holds (`metrics.masks`).
"""

import math
from collections.abc import Collection, Iterator

import numpy as np

from sfumato.evaluation.masks.evaluate import Evaluation
from sfumato.evaluation.masks.scoring import CaseScores
from sfumato.evaluation.masks.table import ModelScores, finite_mean, patients
from sfumato.metrics.masks import Empty
from sfumato.tasks.constant_mask import BesideConstant, ConstantMask, compare_with_constant


def beside_constant(table: ModelScores) -> BesideConstant | None:
    """A model beside the best constant mask, on the cases in which both have a Dice; None where there is none."""
    measured, dice = table.measured, table.of_cases("dice")
    whose = np.array(patients(measured) or measured.cases)
    known = np.isfinite(dice)
    found = [mask._replace(scores=mask.scores[known]) for mask in _constant_masks(table) if known.any()]
    found = [mask for mask in found if np.isfinite(mask.scores).all()]
    if not found:
        return None
    best = max(found, key=lambda mask: float(mask.scores.mean()))
    return compare_with_constant(dice[known], best, whose[known].tolist())


def _constant_masks(table: ModelScores) -> Iterator[ConstantMask]:
    """An empty mask, and each class on every pixel."""
    measured = table.measured
    filled: dict[str, Collection[int]] = {"an empty mask": ()}
    names = measured.truth.meaning.names
    for index, name in enumerate(names[1:], start=1):
        what = "the object" if len(names) == 2 else name
        filled[f"{what} on every pixel"] = [
            place for place, target in enumerate(measured.manner.targets) if index in target.classes
        ]
    for name, targets in filled.items():
        scores = [_dice(case, measured, targets) for case in table.arm.cases.values()]
        yield ConstantMask(name, np.array(scores))


def _dice(case: CaseScores, measured: Evaluation, filled: Collection[int]) -> float:
    """The Dice of a mask that has some targets on every pixel: mean over readings, then over targets."""
    sizes = np.array([reading.tp + reading.fn for reading in case.readings])
    pixels = np.array([reading.pixels for reading in case.readings])
    by_target = [
        finite_mean(_of_target(sizes[:, place], pixels, measured.manner.empty, filled=place in filled))
        for place in range(sizes.shape[1])
    ]
    return float(finite_mean(by_target))


def _of_target(sizes: np.ndarray, pixels: np.ndarray, empty: Empty, *, filled: bool) -> np.ndarray:
    everywhere: np.ndarray = 2.0 * sizes / np.maximum(pixels + sizes, 1)
    nowhere = np.where(sizes > 0, 0.0, 1.0 if empty == "one" else math.nan)
    return everywhere if filled else nowhere
