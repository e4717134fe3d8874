"""What a summary says of ensembles beside several readers: presence, and cases that no reader marked told apart.

A case that every reader left empty is a question of its own: was nothing claimed? There two empty masks are 0 apart,
and a model that is always empty has the best distance possible. With many such cases a mean distance says how many
there are. So each number is told of the cases with at least one mark, and of the others.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfumato.evaluation.masks.beside_readers import BesideReaders
from sfumato.evaluation.masks.table import ModelScores, mean_of
from sfumato.metrics.interval import Interval, share_interval
from sfumato.metrics.reader_calibration import presence_bins, presence_ece
from sfumato.metrics.table import GROUPS, METRIC_TABLE

BESIDE_READERS = (*GROUPS["Readers"], *GROUPS["Size and presence"])
"""Numbers that compare an ensemble with several readers."""

_MARKED, _ALL_EMPTY = "marked", "all_empty"
"""Cases in which a reader marks something, and those that every reader left empty."""


def split_by_marks(table: ModelScores, groups: Sequence[str] | None) -> dict[str, Any] | None:
    """The numbers beside readers of cases with at least one mark, and of those without; None with one reader.

    Args:
        table: the scores of a model.
        groups: whose each case is; None where nobody is known.

    Returns:
        For `marked` and `all_empty` the number of cases, each number as an `Interval` or None, and of the second kind
        in how many cases the mask and some member claim something, and the share of the members that do.
    """
    several = _with_several_readers(table)
    if not any(several):
        return None
    known = np.array([case is not None for case in several])
    marked = np.array([case is not None and case.marking_readers > 0 for case in several])
    empty = known & ~marked
    return {
        _MARKED: {"cases": int(marked.sum()), **_means(table, marked, groups)},
        _ALL_EMPTY: {"cases": int(empty.sum()), **_claims(table, empty, groups), **_means(table, empty, groups)},
    }


def difference_where_marked(
    first: ModelScores, other: ModelScores, groups: Sequence[str] | None
) -> dict[str, Interval | None] | None:
    """The first model minus another over the cases with at least one mark; None with one reader."""
    marked = np.array([case is not None and case.marking_readers > 0 for case in _with_several_readers(first)])
    if not marked.any():
        return None
    gaps: dict[str, Interval | None] = {}
    for name in comparable(first, other):
        if name in BESIDE_READERS:
            gap = first.of_cases(name) - other.of_cases(name)
            gaps[name] = mean_of(np.where(marked, gap, np.nan), groups)
    return gaps


def comparable(first: ModelScores, other: ModelScores) -> list[str]:
    """The numbers by which two models are compared.

    Some depend on the number of members: they are compared where both models have as many, or where one has a single
    mask, which is what the same answer any number of times would have.
    """
    equal = all(_as_many(first, other, case) for case in first.measured.cases)
    shared = [name for name in first.names if name in other.names and name != "review_rank"]
    return [name for name in shared if equal or not _needs_equal_members(name)]


def presence_of_target(table: ModelScores, place: int) -> dict[str, Any] | None:
    """How probable a target was called beside the share of readers that have it, by bins; None with one reader."""
    several = [case for case in _with_several_readers(table) if case is not None]
    if not several:
        return None
    probability = np.array([case.probability[place] for case in several])
    readers = np.array([case.presence[place] for case in several])
    bins = presence_bins(probability, readers)
    return {
        "ece": presence_ece(bins),
        "probability": float(probability.mean()),
        "readers": float(readers.mean()),
        "bins": bins._asdict(),
    }


def _with_several_readers(table: ModelScores) -> list[BesideReaders | None]:
    return [case.beside for case in table.arm.cases.values()]


def _as_many(first: ModelScores, other: ModelScores, case: str) -> bool:
    ours, theirs = first.arm.cases[case].members, other.arm.cases[case].members
    return ours == theirs or min(ours, theirs) == 1


def _needs_equal_members(name: str) -> bool:
    return name in METRIC_TABLE and METRIC_TABLE[name].equal_members


def _means(
    table: ModelScores, inside: np.ndarray, groups: Sequence[str] | None
) -> dict[str, Mapping[str, Interval | None]]:
    """The means over some cases."""
    means: dict[str, Interval | None] = {}
    for name in BESIDE_READERS:
        if name in table.names:
            means[name] = mean_of(np.where(inside, table.of_cases(name), np.nan), groups)
    return {"means": means}


def _claims(table: ModelScores, inside: np.ndarray, groups: Sequence[str] | None) -> dict[str, Any]:
    """In how many cases something is claimed that no reader sees: by the mask, by some member, and by how many."""
    cases = list(table.arm.cases.values())
    by_mask = np.array([any(reading.in_prediction.any() for reading in case.readings) for case in cases])
    share = np.array([0.0 if case.beside is None else case.beside.marking_members / case.members for case in cases])
    claimed = int((by_mask & inside).sum())
    return {
        "false_alarms": claimed,
        "false_alarms_of_some_member": int(((share > 0) & inside).sum()),
        "false_alarm_share": share_interval(claimed, int(inside.sum())),
        "members_with_false_alarm": mean_of(np.where(inside, share, np.nan), groups),
    }
