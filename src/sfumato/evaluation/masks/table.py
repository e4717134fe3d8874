"""The scores of a model as one table: a row for each case, a column for each number, by target where there are several.

Means follow the hierarchy of the data: readings of a case first, then cases, whose interval draws patients again.
Numbers that are undefined are left out of their mean, and every mean says of how many cases it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sfumato.data.manifest import Case
from sfumato.errors import UsageError
from sfumato.evaluation.masks.evaluate import Evaluation, ScoredModel
from sfumato.metrics.interval import Interval, grouped_mean_interval, mean_interval
from sfumato.metrics.table import metrics_of

SEED = 0
"""Of the bootstrap."""

FACTS = ("label", "patient", "split", "origin", "source")
"""Columns that every manifest may have; others are in `Case.more`."""

LISTED = metrics_of("doubt")
"""Columns of the manifest of `sfumato segment` that are numbers of a case."""

_Numbers = np.ndarray


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model, case by case in the order of the evaluation.

    Args:
        measured: everything that was measured.
        arm: one of its models.
    """

    measured: Evaluation
    arm: ScoredModel

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.arm.predictions.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All numbers there are: scores, those of a case as a whole, others of every target, those of the manifest."""
        whole: dict[str, None] = {}
        for case in self.arm.cases.values():
            whole |= dict.fromkeys(case.numbers)
        return (*self.measured.manner.metrics, *whole, *self._beside_readers, *self._manifest)

    @cached_property
    def names_of_targets(self) -> tuple[str, ...]:
        """The numbers that every target has by itself."""
        return (*self.measured.manner.metrics, *self._beside_readers)

    @cached_property
    def _beside_readers(self) -> tuple[str, ...]:
        """The numbers of every target that compare an ensemble with several readers."""
        names: dict[str, None] = {}
        for case in self.arm.cases.values():
            names |= dict.fromkeys(case.by_target)
        return tuple(names)

    def of_targets(self, name: str) -> _Numbers:
        """A number of every case and target, of scores the mean over the readings: (cases, targets)."""
        if name in self._beside_readers:
            unknown = np.full(len(self.measured.manner.targets), math.nan)
            return np.stack([case.by_target.get(name, unknown) for case in self.arm.cases.values()])
        by_case = list[_Numbers]()
        for case in self.arm.cases.values():
            by_reading = [scores.values[name] for scores in case.readings]
            by_case.append(finite_mean(by_reading))
        return np.stack(by_case)

    def of_cases(self, name: str) -> _Numbers:
        """A number of every case, the mean over the targets where each has one: (cases,)."""
        if name in self.names_of_targets:
            return finite_mean(self.of_targets(name).T)
        if name in self._manifest:
            return self._manifest[name]
        return np.array([case.numbers.get(name, math.nan) for case in self.arm.cases.values()])

    @cached_property
    def _manifest(self) -> Mapping[str, _Numbers]:
        """Columns of numbers in the manifest of `sfumato segment`."""
        rows = [self.arm.predictions.rows.get(case, {}) for case in self.arm.cases]
        columns: dict[str, _Numbers] = {}
        for name in LISTED:
            values = np.array([_number(row.get(name, "")) for row in rows])
            if np.isfinite(values).any():
                columns[name] = values
        return columns


def patients(measured: Evaluation) -> tuple[str, ...] | None:
    """Whose each case is, itself where nobody says so; None where nobody is known for any case."""
    known = [measured.truth.units[case].cases[0].patient for case in measured.cases]
    if not any(known):
        return None
    return tuple(who or case for who, case in zip(known, measured.cases, strict=True))


def count_patients(measured: Evaluation) -> int | None:
    """How many patients there are; None where nobody is known: a volume that is its own patient is a case."""
    groups, cases = patients(measured), [measured.truth.units[case].cases[0] for case in measured.cases]
    known = any(case.patient and case.patient != case.volume for case in cases)
    return len(set(groups)) if groups is not None and known else None


def mean_of(values: _Numbers, groups: Sequence[str] | None) -> Interval | None:
    """The mean of the finite values with its interval, over patients where they are known; None without a value."""
    finite = np.isfinite(values)
    if not finite.any():
        return None
    if groups is None:
        return mean_interval(values[finite], seed=SEED)
    return grouped_mean_interval(values[finite], np.asarray(groups)[finite].tolist(), seed=SEED)


def by_patient(values: _Numbers, groups: Sequence[str]) -> dict[str, float]:
    """The mean of each patient; nan where none of its values is finite."""
    names = np.asarray(groups)
    return {name: float(finite_mean(values[names == name])) for name in dict.fromkeys(groups)}


def fact(case: Case, column: str) -> str:
    """What the reference says about a case in a column; "" where nothing."""
    if column in FACTS:
        return str(getattr(case, column) or "")
    return case.more.get(column, "")


def check_columns(measured: Evaluation, columns: Sequence[str]) -> None:
    """Refuse columns that the reference does not have, or that say nothing about any case."""
    cases = [measured.truth.units[case].cases[0] for case in measured.cases]
    names = dict.fromkeys(FACTS)
    for case in cases:
        names |= dict.fromkeys(case.more)
    filled = [name for name in names if any(fact(case, name) for case in cases)]
    unknown = [name for name in columns if name not in filled]
    if unknown:
        raise UsageError(
            f"--by {','.join(unknown)}: the reference says nothing of the kind",
            expected=f"columns of its manifest: {', '.join(filled) or '(it has none)'}",
        )


def finite_mean(values: Sequence[_Numbers] | _Numbers) -> _Numbers:
    """The mean over the first axis of what is finite; nan where nothing is."""
    stacked = np.asarray(values, dtype=np.float64)
    count = np.isfinite(stacked).sum(axis=0)
    total = np.where(np.isfinite(stacked), stacked, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
