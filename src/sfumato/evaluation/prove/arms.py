"""What each arm trains on.

With n real training images and a ratio r,

    real                  the n images
    real + class weights  the same, each class weighing the same in the loss
    real + duplicates     and round(r n) of them again, class by class as many as the synthetic arm has
    real + synthetic      and round(r n) images drawn from SAMPLES
    synthetic alone       all of SAMPLES

When classes are filled up instead, the classes that are smaller than the largest get what they lack, and no other. All
arms are trained for the same number of steps, so they differ in what is seen and not in how long. Without the arm of
duplicates a gain could come from the mere mixture of classes; duplicates of real images have been found to beat
synthetic ones (Pink, PMLR 318, 2026).

What a seed draws at a ratio is part of what it draws at a larger one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Literal, NamedTuple

import numpy as np

from sfumato.errors import DataError
from sfumato.randomness import derive_seed
from sfumato.wording import counted

_Kind = Literal["real", "weights", "duplicates", "synthetic", "alone"]

TITLES: Mapping[_Kind, str] = {
    "real": "real",
    "weights": "real + class weights",
    "duplicates": "real + duplicates",
    "synthetic": "real + synthetic",
    "alone": "synthetic alone",
}


class Arm(NamedTuple):
    """One way to train.

    Attributes:
        kind: which.
        ratio: synthetic or duplicated images for each real one; None where there are none, and where classes are
            filled up.
    """

    kind: _Kind
    ratio: float | None = None

    @property
    def title(self) -> str:
        """Its name without the ratio."""
        return TITLES[self.kind]

    @property
    def name(self) -> str:
        """For a person."""
        if self.ratio is None:
            return self.title
        return f"{self.title}, {self.ratio:g} x"

    @property
    def key(self) -> str:
        """For a file."""
        if self.ratio is None:
            return self.kind
        return f"{self.kind}-{self.ratio:g}"


class TrainingUnit(NamedTuple):
    """One model to train: what is kept when the work is interrupted."""

    arm: Arm
    seed: int

    @property
    def key(self) -> str:
        """Its name among all units."""
        return f"{self.arm.key}.{self.seed}"


class _Gap(NamedTuple):
    """What a class lacks of the size of the largest one, and how many images of it SAMPLES has."""

    want: int
    have: int


@dataclass(frozen=True, kw_only=True)
class DataPool:
    """What there is to train on.

    Attributes:
        real: the class of each real training image.
        synthetic: the class of each synthetic image.
        balance: classes are filled up.
    """

    real: Sequence[str]
    synthetic: Sequence[str]
    balance: bool = False

    def arms(self, ratios: Sequence[float]) -> list[Arm]:
        """The arms that make sense; `notes` tells of the others."""
        steps: list[float | None] = [None] if self.balance else list(self._reached(ratios))
        arms = [Arm("real")]
        if self._is_uneven():
            arms.append(Arm("weights"))
        arms += [Arm("duplicates", ratio) for ratio in steps]
        arms += [Arm("synthetic", ratio) for ratio in steps]
        if not self._missing():
            arms.append(Arm("alone"))
        return arms

    def notes(self, ratios: Sequence[float], *, classify: bool) -> list[str]:
        """What differs from what was asked for, in sentences; without classes there are no class weights."""
        notes = list(self._not_filled_up() if self.balance else self._not_reached(ratios))
        if classify and not self._is_uneven():
            notes.append("there is no arm with class weights: the classes are of the same size")
        missing = self._missing()
        if missing:
            notes.append(f"there is no arm of synthetic images alone: they lack {', '.join(missing)}")
        return notes

    def _not_reached(self, ratios: Sequence[float]) -> Iterator[str]:
        reached = set(self._reached(ratios))
        for ratio in ratios:
            if ratio not in reached:
                yield (
                    f"SAMPLES has {counted(len(self.synthetic), 'image')}: ratio {ratio:g} wants "
                    f"{round(ratio * len(self.real))}, and is left out for {max(reached):.3g}, which has all that "
                    "there are"
                )

    def _not_filled_up(self) -> Iterator[str]:
        for name, gap in self._gaps().items():
            if gap.have < gap.want:
                have = counted(gap.have, "image")
                yield f"SAMPLES has {have} of class {name}, which lacks {gap.want}: it is not filled up"

    def _missing(self) -> list[str]:
        """The classes that SAMPLES lacks."""
        return sorted(set(self.real) - set(self.synthetic))

    def rows(self, unit: TrainingUnit) -> tuple[int, ...]:
        """What an arm trains on: real image i is row i, synthetic image j row n + j; a row may come several times."""
        real, first = range(len(self.real)), len(self.real)
        match unit.arm.kind:
            case "real" | "weights":
                return tuple(real)
            case "alone":
                return tuple(range(first, first + len(self.synthetic)))
            case "synthetic":
                return (*real, *(first + place for place in self._drawn(unit)))
            case "duplicates":
                added = Counter(self.synthetic[place] for place in self._drawn(unit))
                return (*real, *self._again(added, unit.seed))

    def class_weights(self, classes: Sequence[str]) -> tuple[float, ...]:
        """The weight of each class in the loss: mean 1 over the real images, the same sum for each class."""
        count = Counter(self.real)
        weights = {name: len(self.real) / (len(count) * often) for name, often in count.items()}
        return tuple(weights.get(name, 0.0) for name in classes)

    def _is_uneven(self) -> bool:
        return len(set(Counter(self.real).values())) > 1

    def _reached(self, ratios: Sequence[float]) -> Iterator[float]:
        """Ratios that SAMPLES is large enough for; the first that is too large becomes what there is."""
        most = len(self.synthetic) / len(self.real)
        reached = [ratio for ratio in sorted(ratios) if ratio <= most]
        yield from reached
        nearly_all = any(abs(ratio - most) < 0.05 * most for ratio in reached)
        if max(ratios) > most and not nearly_all:
            yield float(f"{most:.3g}")

    def _gaps(self) -> dict[str, _Gap]:
        """What each class that is smaller than the largest lacks."""
        count, there = Counter(self.real), Counter(self.synthetic)
        largest = max(count.values())
        return {name: _Gap(largest - often, there[name]) for name, often in count.items() if often < largest}

    def _drawn(self, unit: TrainingUnit) -> list[int]:
        """Places in SAMPLES."""
        order = _shuffled(len(self.synthetic), unit.seed, "draw")
        if unit.arm.ratio is not None:
            return order[: round(unit.arm.ratio * len(self.real))]
        drawn = list[int]()
        for name, gap in self._gaps().items():
            members = [place for place in order if self.synthetic[place] == name]
            drawn += members[: gap.want]
        return drawn

    def _again(self, added: Mapping[str, int], seed: int) -> Iterator[int]:
        """Real rows, so many of each class: each as often as the others, or once more."""
        order = _shuffled(len(self.real), seed, "duplicates")
        for name, count in sorted(added.items()):
            members = [row for row in order if self.real[row] == name]
            if not members:
                raise DataError(
                    f"SAMPLES has images of class '{name}', of which REAL has no training image",
                    expected="classes that REAL has",
                    remedy="leave this class out of SAMPLES",
                    code="SCORE-022",
                )
            yield from islice(cycle(members), count)


def _shuffled(count: int, seed: int, *words: str) -> list[int]:
    order: list[int] = np.random.default_rng(derive_seed(seed, "prove", *words)).permutation(count).tolist()
    return order
