"""What a model of masks has to beat before anything else is said about it: the best mask that is the same everywhere.

Whoever draws one mask for every image, whatever is in it, reaches a Dice with

    empty        1 where nothing is to be found, else 0
    everywhere   one class on every pixel: 2 |B| / (N + |B|)
    usual        the classes that a share t of the training masks has at each pixel: much, where objects lie alike

and a model that is not above the best of these has learnt nothing that the cases show. Then no more can be said: two
samplers of such a model are as good as each other, its state does not matter, its twin is no worse, and what it reads
in an image agrees with nothing. The interval of the difference, patients drawn again, says which: above 0 the model is
better, at or below 0 it is not, and where it holds 0 these cases do not tell.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.data.placement import resize
from sfumato.metrics.interval import Interval, grouped_mean_interval
from sfumato.tasks.readers import reader_dice, readers_of
from sfumato.wording import counted

USUAL = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares t of the training masks."""

LEARNED_FROM = 200
"""Training cases that say what is usual, at most."""

STRETCHED = {2: (128, 128), 3: (32, 64, 64)}
"""Sides of the mask that is stretched to images of many sizes, by the number of its axes."""

_SEED = 0
"""Of the bootstrap."""

_Scores = Float[np.ndarray, " n"]
_Mask = UInt8[np.ndarray, "*space"]

_Verdict = Literal["better", "cannot be told", "no better"]
"""A model beside the best constant mask."""

Score = Callable[[int, _Mask], float]
"""The score of a mask for a row of the dataset: its Dice, where nothing else is said."""


class ConstantMask(NamedTuple):
    """A mask that is the same for every image.

    Attributes:
        name: which, in words.
        scores: of each case.
    """

    name: str
    scores: _Scores


class BesideConstant(NamedTuple):
    """A model beside the best constant mask.

    Attributes:
        mask: which mask that is, in words.
        of_mask: its mean Dice.
        of_model: that of the model.
        difference: of the two on the same cases; its ends are nan where all are of one patient.
    """

    mask: str
    of_mask: float
    of_model: float
    difference: Interval

    @property
    def verdict(self) -> _Verdict:
        """What the cases show; a single patient shows what it shows."""
        known = math.isfinite(self.difference.low)
        low, high = (self.difference.low, self.difference.high) if known else [self.difference.mean] * 2
        return "better" if low > 0 else "no better" if high <= 0 else "cannot be told"

    @property
    def is_better(self) -> bool:
        """Whether more can be said about the model."""
        return self.verdict == "better"

    def sentence(self, whom: str) -> str:
        """That the model is not better, in a sentence without its full stop; `whom` names it."""
        verb = "is no better than" if self.verdict == "no better" else "cannot be told from"
        return (
            f"{whom} {verb} {self.mask}, the same for every image: its mean Dice is {self.of_model:.3f}, that of the "
            f"mask {self.of_mask:.3f}, on {counted(self.difference.cases, 'case')}"
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        ends = {name: _finite(getattr(self.difference, name)) for name in ("mean", "low", "high")}
        return {
            "mask": self.mask,
            "dice": _finite(self.of_mask),
            "dice_of_model": _finite(self.of_model),
            "difference": ends,
            "cases": self.difference.cases,
            "verdict": self.verdict,
        }


def best_constant_mask(dataset: Dataset, rows: Sequence[int], score: Score | None = None) -> ConstantMask:
    """The constant mask that is best on these rows, in the model's own size; stretched where images keep their own.

    Args:
        dataset: the dataset; its training masks say what is usual.
        rows: what is scored.
        score: how; else the mean Dice over readers and foreground classes.
    """
    readers = [readers_of(dataset, row) for row in rows] if score is None else []
    classes = len(dataset.spec.mask_classes)

    def scored(mask: _Mask) -> list[float]:
        stretched = (resize(mask, dataset.size(row), nearest=True) for row in rows)
        if score is None:
            return [reader_dice(one, of_case, classes) for one, of_case in zip(stretched, readers, strict=True)]
        return [score(row, one) for row, one in zip(rows, stretched, strict=True)]

    found = [ConstantMask(name, np.array(scored(mask))) for name, mask in _constant_masks(dataset)]
    return max(found, key=lambda each: float(each.scores.mean()))


def compare_with_constant(scores: _Scores, constant: ConstantMask, patients: Sequence[str]) -> BesideConstant:
    """A model beside a constant mask on the same cases, in the same order; what is no number counts 0."""
    known = np.nan_to_num(scores, nan=0.0)
    difference = grouped_mean_interval(known - constant.scores, patients, seed=_SEED)
    return BesideConstant(constant.name, float(constant.scores.mean()), float(known.mean()), difference)


def patients_of(dataset: Dataset, rows: Sequence[int]) -> list[str]:
    """Whose each case is; itself where nobody is known."""
    cases = [dataset.cases[row] for row in rows]
    return [case.patient or case.id for case in cases]


def _constant_masks(dataset: Dataset) -> Iterator[tuple[str, _Mask]]:
    names, size = dataset.spec.mask_classes, _size(dataset)
    yield "an empty mask", np.zeros(size, np.uint8)
    for index, name in enumerate(names[1:], start=1):
        what = "the object" if len(names) == 2 else name
        yield f"{what} on every pixel", np.full(size, index, np.uint8)
    shares = _shares(dataset)
    likeliest = shares[1:].argmax(0) + 1
    for share in USUAL:
        mask = np.where(1 - shares[0] >= share, likeliest, 0).astype(np.uint8)
        yield f"the mask of what {share:.0%} of the training cases have at each pixel", mask


def _size(dataset: Dataset) -> tuple[int, ...]:
    """Sides of a constant mask."""
    return dataset.spec.size or STRETCHED[dataset.spec.dimensions]


def _shares(dataset: Dataset) -> Float[np.ndarray, "classes ..."]:
    """How often each pixel has each class, over training cases and readers; background where nobody says anything."""
    size = _size(dataset)
    classes = np.arange(len(dataset.spec.mask_classes)).reshape(-1, *[1] * len(size))
    counts = np.zeros((len(classes), *size))
    for row in dataset.rows("train", at_most=LEARNED_FROM):
        for mask in (resize(mask, size, nearest=True) for mask in readers_of(dataset, row)):
            counts += (mask == classes) & (mask != IGNORED)
    counts[0] += counts.sum(0) == 0
    shares: Float[np.ndarray, "classes ..."] = counts / counts.sum(0)
    return shares


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
