"""Is a classifier any better than one that always says the same?

Two questions are asked of its confusion matrix, and a classifier that fails one of them is told so by name:

    F1 above that of always saying the positive class, 2 p / (1 + p)
    balanced accuracy above 1 / classes, with its whole interval

The first is lost by all who report F1 where most cases are positive; the second by those that are near-constant.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.errors import DataError
from sfumato.metrics.classification import ClassScores, Confusion, balanced, each_class
from sfumato.metrics.interval import Interval
from sfumato.tables import read_rows

_COUNTS = ("TN", "FP", "FN", "TP")
"""Columns of a table of classifiers with two classes."""

_NAMED = 4
"""Classifiers that a sentence names."""


class BaselineScore(NamedTuple):
    """A classifier beside the constant one.

    Attributes:
        name: of the classifier.
        positive: the scores of the positive class.
        balanced: its balanced accuracy.
        classes: how many there are.
    """

    name: str
    positive: ClassScores
    balanced: Interval
    classes: int

    @property
    def is_below_f1(self) -> bool:
        """Whether always saying the positive class has the same F1 or a better one."""
        return not self.positive.f1 > self.positive.always_f1

    @property
    def is_chance(self) -> bool:
        """Whether its balanced accuracy may be that of any constant answer."""
        return not self.balanced.low > 1 / self.classes


def stand(name: str, confusion: Confusion, *, positive: int) -> BaselineScore:
    """A classifier beside always saying class `positive`."""
    return BaselineScore(name, each_class(confusion)[positive], balanced(confusion), len(confusion))


def read_standings(standings: Sequence[BaselineScore], *, positive: str) -> list[str]:
    """What the constant answer reaches, and who is no better, in sentences.

    Args:
        standings: classifiers that were tested on the same cases.
        positive: how the positive class is called.
    """
    always = standings[0].positive
    best = max(standing.positive.f1 for standing in standings)
    below = [standing.name for standing in standings if standing.is_below_f1]
    chance = [standing.name for standing in standings if standing.is_chance]
    return [
        f"{always.prevalence:.1%} of the cases are {positive}: always saying {positive} has an accuracy of "
        f"{always.prevalence:.3f} and an F1 of {always.always_f1:.3f}, with a balanced accuracy of "
        f"{1 / standings[0].classes:.3g}.",
        *_no_better("F1", below, of=len(standings), than=f"always {positive} (best: {best:.3f})"),
        *_no_better("balanced accuracy", chance, of=len(standings), than=f"always {positive}"),
    ]


def _no_better(measure: str, names: Sequence[str], *, of: int, than: str) -> Iterator[str]:
    """The sentence about those who are no better, if there are any."""
    if names:
        yield f"By {measure}, {_those(names, of=of)} no better than {than}."


def _those(names: Sequence[str], *, of: int) -> str:
    """Some of the classifiers, with the verb that fits."""
    if len(names) == of > 1:
        return f"all {of} classifiers are"
    named = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        named += " and others"
    verb = "is" if len(names) == 1 else "are"
    return f"{len(names)} of {of} classifiers ({named}) {verb}"


class _Table(NamedTuple):
    """Classifiers that others trained and tested.

    Attributes:
        prevalence: share of positive cases.
        always_f1: F1 of always saying positive.
        balanced: mean balanced accuracy of the classifiers of each arm.
        reading: what the table says, in sentences.
    """

    prevalence: float
    always_f1: float
    balanced: Mapping[str, float]
    reading: tuple[str, ...]


def read_confusions(path: Path) -> dict[str, Confusion]:
    """The confusion matrices of a table with the columns Model, TN, FP, FN and TP.

    Raises:
        DataError: a column is missing, or an entry is no number.
    """
    rows = read_rows(path)
    try:
        cells = {row["Model"]: [float(row[name]) for name in _COUNTS] for row in rows}
    except (KeyError, ValueError) as error:
        raise DataError(
            f"{path}: {error}", expected=f"the columns Model, {', '.join(_COUNTS)}", code="DATA-016"
        ) from error
    return {name: np.array(counts).reshape(2, 2) for name, counts in cells.items()}


def read_baselines(path: Path) -> _Table:
    """Read such a table; what stands before ` - ` in the name of a classifier is its arm."""
    standings = [stand(name, confusion, positive=1) for name, confusion in read_confusions(path).items()]
    arms: dict[str, list[float]] = {}
    for standing in standings:
        arm, _, _ = standing.name.partition(" - ")
        arms.setdefault(arm, []).append(standing.balanced.mean)
    always = standings[0].positive
    return _Table(
        prevalence=always.prevalence,
        always_f1=always.always_f1,
        balanced={arm: float(np.mean(values)) for arm, values in arms.items()},
        reading=tuple(read_standings(standings, positive="positive")),
    )
