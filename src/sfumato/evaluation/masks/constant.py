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
    if not known.any():
        return None
    found = list[ConstantMask]()
    for mask in _constant_masks(table):
        scores = mask.scores[known]
        if np.isfinite(scores).all():
            found.append(mask._replace(scores=scores))
    if not found:
        return None
    best = max(found, key=lambda mask: float(mask.scores.mean()))
    return compare_with_constant(dice[known], best, whose[known].tolist())


def _constant_masks(table: ModelScores) -> Iterator[ConstantMask]:
    """An empty mask, and each class on every pixel."""
    names = table.measured.truth.meaning.names
    yield _constant_mask("an empty mask", (), table)
    for index, name in enumerate(names[1:], start=1):
        what = "the object" if len(names) == 2 else name
        yield _constant_mask(f"{what} on every pixel", _targets_with(index, table.measured), table)


def _constant_mask(name: str, filled: Collection[int], table: ModelScores) -> ConstantMask:
    scores = [_dice(case, table.measured, filled) for case in table.arm.cases.values()]
    return ConstantMask(name, np.array(scores))


def _targets_with(index: int, measured: Evaluation) -> list[int]:
    """The places of the targets that a class belongs to."""
    return [place for place, target in enumerate(measured.manner.targets) if index in target.classes]


def _dice(case: CaseScores, measured: Evaluation, filled: Collection[int]) -> float:
    """The Dice of a mask that has some targets on every pixel: mean over readings, then over targets."""
    sizes = np.array([reading.tp + reading.fn for reading in case.readings])
    pixels = np.array([reading.pixels for reading in case.readings])
    by_target = list[np.ndarray]()
    for place, of_target in enumerate(sizes.T):
        scores = _everywhere(of_target, pixels) if place in filled else _nowhere(of_target, measured.manner.empty)
        by_target.append(finite_mean(scores))
    return float(finite_mean(by_target))


def _everywhere(sizes: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The Dice of a mask with the target on every pixel."""
    return np.asarray(2.0 * sizes / np.maximum(pixels + sizes, 1))


def _nowhere(sizes: np.ndarray, empty: Empty) -> np.ndarray:
    """The Dice of a mask without the target."""
    both_empty = 1.0 if empty == "one" else math.nan
    return np.where(sizes > 0, 0.0, both_empty)
