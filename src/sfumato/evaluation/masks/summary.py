"""Everything that was measured as plain data: `summary.json`, from which the console and the report are written."""

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from sfumato.evaluation.masks.constant import beside_constant
from sfumato.evaluation.masks.evaluate import Evaluation, ScoredModel
from sfumato.evaluation.masks.nnunet import nnunet_summary
from sfumato.evaluation.masks.references import is_whole_volume
from sfumato.evaluation.masks.sentences import limits, mask_sentences
from sfumato.evaluation.masks.summary_readers import (
    comparable,
    difference_where_marked,
    presence_of_target,
    split_by_marks,
)
from sfumato.evaluation.masks.table import (
    SEED,
    ModelScores,
    by_patient,
    check_columns,
    count_patients,
    fact,
    finite_mean,
    mean_of,
    patients,
)
from sfumato.metrics.calibration import Reliability, ece, pooled
from sfumato.metrics.ensemble import Among
from sfumato.metrics.interval import Interval, drawn_again, mean_interval, share_interval
from sfumato.metrics.selective import SHARES, error_found, risk_coverage, spearman

AGAIN = 999
"""Times that the order of review is tried on cases drawn again."""

Plain = dict[str, Any]
"""Plain data; unknown numbers are None."""

_Intervals = Mapping[str, Interval | None]
"""Means by the names of the numbers; None where no case has the number."""


def summarise_evaluation(measured: Evaluation, *, by: Sequence[str] = ()) -> Plain:
    """The summary of everything.

    Args:
        measured: what was measured.
        by: columns of the reference by whose values the scores are told too.

    Raises:
        UsageError: the reference has no such column.
    """
    check_columns(measured, by)
    groups = patients(measured)
    first, *others = tables = [ModelScores(measured, arm) for arm in measured.arms]
    theirs = nnunet_summary(measured)
    summary: Plain = {
        "kind": "masks",
        "reading": [],
        "limits": [],
        "cases": len(measured.cases),
        "patients": count_patients(measured),
        "splits": _splits(measured),
        **_counted("readers", [len(case.readings) for case in measured.arms[0].cases.values()]),
        "classes": [target.name for target in measured.manner.targets],
        "empty": measured.manner.empty,
        "length": measured.length,
        "volume": _volume(measured),
        "tolerance": measured.manner.tolerance,
        "mask_values": measured.manner.rule.text,
        "arms": {table.name: _arm(table, groups) for table in tables},
        "differences": {other.name: _difference(first, other, groups) for other in others},
        "differences_where_marked": {
            other.name: _plainly(difference_where_marked(first, other, groups)) for other in others
        },
        "readers_own": _readers_own(measured, groups),
        "groups": {column: _groups(tables, column) for column in by},
        "left_out": {arm.predictions.name: len(arm.predictions.left_out) for arm in measured.arms},
        "notes": list(measured.notes),
        **theirs,
        "foreground_mean": {**theirs["foreground_mean"], **_plain_means(first)},
    }
    summary["reading"], summary["limits"] = mask_sentences(summary), limits(summary)
    return summary


def _splits(measured: Evaluation) -> list[str]:
    """Those that are known."""
    splits = {measured.truth.units[case].cases[0].split for case in measured.cases}
    return sorted(split for split in splits if split)


def _plain_means(table: ModelScores) -> Plain:
    """The mean of each score over the cases."""
    return {name: _finite(float(finite_mean(table.of_cases(name)))) for name in table.measured.manner.metrics}


def _arm(table: ModelScores, groups: Sequence[str] | None) -> Plain:
    """The means of one model, by class, and what its uncertainty is good for."""
    means = {name: mean_of(table.of_cases(name), groups) for name in table.names if name != "review_rank"}
    return {
        "folder": str(table.arm.predictions.folder.resolve()),
        "network_calls": table.arm.predictions.calls,
        **_counted("members", [case.members for case in table.arm.cases.values()]),
        **_all_told(means),
        "per_patient": {} if groups is None else _per_patient(table, groups),
        **_presence_of_all(table),
        "by_marks": _plainly(split_by_marks(table, groups)),
        "per_class": _per_class(table, groups, means),
        "review": _review(table, groups),
        "reliability": _reliability(table.arm),
        "constant_mask": _beside_constant(table),
    }


def _per_patient(table: ModelScores, groups: Sequence[str]) -> Plain:
    """Means over the patients, each counting once, however many cases it has."""
    means: Plain = {}
    for name in table.measured.manner.metrics:
        of_patients = by_patient(table.of_cases(name), groups)
        means[name] = _told(mean_of(np.array(list(of_patients.values())), None))
    return means


def _per_class(table: ModelScores, groups: Sequence[str] | None, overall: _Intervals) -> Plain:
    """Each target by itself: means, and whether it was found at all; a single target has the means of all."""
    manner = table.measured.manner
    found: Plain = {}
    for place, target in enumerate(manner.targets):
        intervals = {name: overall[name] for name in table.names_of_targets}
        if len(manner.targets) > 1:
            intervals = {name: mean_of(table.of_targets(name)[:, place], groups) for name in table.names_of_targets}
        found[target.name] = {
            **{name: _mean(interval) for name, interval in intervals.items()},
            **_presence(table.arm, place),
            "presence_beside_readers": _plainly(presence_of_target(table, place)),
            "intervals": _all_told(intervals),
        }
    return found


def _presence_of_all(table: ModelScores) -> Plain:
    """The calibration error of presence, the mean over the targets; nothing with one reader."""
    told = [presence_of_target(table, place) for place in range(len(table.measured.manner.targets))]
    errors = [of_target["ece"] for of_target in told if of_target is not None]
    return {"presence_ece": _finite(float(np.mean(errors)))} if errors else {}


def _counted(name: str, counts: Sequence[int]) -> Plain:
    """How many masks a case has: the most, and the least where the cases differ."""
    most, least = max(counts), min(counts)
    return {name: most} if most == least else {name: most, f"{name}_least": least}


def _mean(interval: Interval | None) -> float | None:
    if interval is None:
        return None
    return _finite(interval.mean)


def _presence(arm: ScoredModel, place: int) -> Plain:
    """Counts over all readings of all cases, and the Dice of those in which the reference has the target."""
    readings = list(chain.from_iterable(case.readings for case in arm.cases.values()))
    drawn = np.array([scores.in_prediction[place] for scores in readings])
    true = np.array([scores.in_reference[place] for scores in readings])
    worst = np.array([scores.penalised[place] for scores in readings])
    dice = np.array([scores.values["dice"][place] for scores in readings])
    found, silent = int((true & drawn).sum()), int((~true & ~drawn).sum())
    return {
        "cases": len(arm.cases),
        "readings": len(readings),
        "with_reference": int(true.sum()),
        "both_empty": silent,
        "missed": int((true & ~drawn).sum()),
        "false_alarms": int((drawn & ~true).sum()),
        "penalised": int(worst.sum()),
        "presence_sensitivity": _told(share_interval(found, int(true.sum()))),
        "presence_specificity": _told(share_interval(silent, int((~true).sum()))),
        "dice_in_reference": _finite(float(finite_mean(dice[true]))),
        "dice_nnunet": _finite(float(finite_mean(dice[true | drawn]))),
    }


def _beside_constant(table: ModelScores) -> Plain | None:
    constant = beside_constant(table)
    if constant is None:
        return None
    return {**constant.to_dict(), "told": constant.sentence(table.name)}


def _review(table: ModelScores, groups: Sequence[str] | None) -> Plain | None:
    """Whether uncertain cases are the wrong ones, and how much error a reader finds; None without an order."""
    if not {"review_rank", "uncertainty"} <= set(table.names):
        return None
    error, doubt, rank = 1.0 - table.of_cases("dice"), table.of_cases("uncertainty"), table.of_cases("review_rank")
    known = np.isfinite(error) & np.isfinite(doubt) & np.isfinite(rank)
    if not known.any():
        return None
    whose = None if groups is None else np.asarray(groups)[known].tolist()
    others = _orders_of_others(table, known)
    if not _is_order(rank[known], doubt[known]):
        others = {"uncertainty": doubt[known], **others}
    return _order_of_review(error[known], doubt[known], rank[known], whose, others)


def _is_order(rank: np.ndarray, urgency: np.ndarray) -> bool:
    """Whether cases are ranked by this."""
    return bool((np.diff(urgency[np.argsort(rank)]) <= 0).all())


def _orders_of_others(table: ModelScores, known: np.ndarray) -> dict[str, np.ndarray]:
    """How urgent the same cases are by the orders of the other models, the twin's say, where those know them all."""
    urgency: dict[str, np.ndarray] = {}
    for arm in table.measured.arms:
        rank = ModelScores(table.measured, arm).of_cases("review_rank")[known]
        if arm is not table.arm and np.isfinite(rank).all():
            urgency[arm.predictions.name] = -rank
    return urgency


def _order_of_review(
    error: np.ndarray,
    doubt: np.ndarray,
    rank: np.ndarray,
    groups: Sequence[str] | None,
    others: Mapping[str, np.ndarray],
) -> Plain:
    """Where all three are known: 1 - Dice of each case, its uncertainty, and its place in the order of review.

    Beside it the same errors in `others`: orders by what is the larger the more urgent a case is.
    """
    risk, again = risk_coverage(-rank, error), _measured_again(-rank, error, groups)
    return {
        "cases": len(error),
        "spearman": _finite(spearman(-rank, error)),
        "spearman_uncertainty": _finite(spearman(doubt, error)),
        "aurc": _finite(risk.aurc),
        "aurc_oracle": _finite(risk.aurc_oracle),
        "aurc_random": _finite(risk.aurc_random),
        "found": _shares(error_found(-rank, error)),
        "found_interval": _ends_by_share(again[:, 1:] if error.any() else np.array([SHARES])),
        "found_random": {f"{share:g}": share for share in SHARES},
        "found_best": _shares(error_found(error, error)),
        "other_orders": {name: _other_order(urgency, error, groups, again) for name, urgency in others.items()},
    }


def _other_order(urgency: np.ndarray, error: np.ndarray, groups: Sequence[str] | None, again: np.ndarray) -> Plain:
    """What another order does with the same errors, and the order of review (`again`) minus it, as intervals."""
    difference = again - _measured_again(urgency, error, groups)
    return {
        "aurc": _finite(risk_coverage(urgency, error).aurc),
        "spearman": _finite(spearman(urgency, error)),
        "found": _shares(error_found(urgency, error)),
        "aurc_difference": _ends(difference[:, 0]),
        "found_difference": _ends_by_share(difference[:, 1:]),
    }


def _measured_again(urgency: np.ndarray, error: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """AURC and the shares of the error that are found, (times, numbers): cases (or patients) drawn again.

    They are the same ones for every order.
    """
    whose = np.arange(len(error)).astype(str).tolist() if groups is None else groups
    measured = list[list[float]]()
    for rows in drawn_again(whose, seed=SEED, times=AGAIN):
        found = error_found(urgency[rows], error[rows]).values()
        measured.append([risk_coverage(urgency[rows], error[rows]).aurc, *found])
    return np.array(measured)


def _ends_by_share(found: np.ndarray) -> Plain:
    return {f"{share:g}": _ends(values) for share, values in zip(SHARES, found.T, strict=True)}


def _ends(values: np.ndarray) -> list[float | None]:
    """Of a 95 % percentile interval; None where every value is unknown."""
    if not np.isfinite(values).any():
        return [None, None]
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return [_finite(float(low)), _finite(float(high))]


def _shares(found: Mapping[float, float]) -> Plain:
    return {f"{share:g}": _finite(value) for share, value in found.items()}


def _reliability(arm: ScoredModel) -> Plain | None:
    """The bins of all cases together; None without probabilities."""
    everywhere = [case.everywhere for case in arm.cases.values() if case.everywhere is not None]
    band = [case.band for case in arm.cases.values() if case.band is not None]
    if not band:
        return None
    return {"everywhere": _bins(pooled(everywhere)), "band": _bins(pooled(band))}


def _bins(bins: Reliability) -> Plain:
    plain: Plain = {name: values.round(3).tolist() for name, values in bins._asdict().items()}
    return plain | {"ece": _finite(ece(bins))}


def _volume(measured: Evaluation) -> str:
    """The unit of sizes: of volumes, of planes, or pixels."""
    if measured.length != "mm":
        return measured.length
    if any(is_whole_volume(measured.truth.units[case]) for case in measured.cases):
        return "mm\xb3"
    return "mm\xb2"


def _difference(first: ModelScores, other: ModelScores, groups: Sequence[str] | None) -> Plain:
    """The first model minus another on the same cases; None where the number of members is part of the number."""
    gaps: Plain = {name: None for name in first.names if name in other.names and name != "review_rank"}
    for name in comparable(first, other):
        gaps[name] = _told(mean_of(first.of_cases(name) - other.of_cases(name), groups))
    return gaps


def _readers_own(measured: Evaluation, groups: Sequence[str] | None) -> Plain | None:
    """What the readers' disagreement makes of the same numbers; None with one reader."""
    if not measured.readers:
        return None
    among = list(measured.readers.values())
    of_cases = {
        "dice": np.array([float(case.dice.mean()) for case in among]),
        "ged_v": np.array([case.ged_v for case in among]),
        "hm_iou": np.array([case.matched_iou for case in among]),
        "diversity": np.array([case.diversity for case in among]),
    }
    whose = None if groups is None else [groups[measured.cases.index(case)] for case in measured.readers]
    readers = max(len(case.dice) for case in among)
    return {
        **{name: _told(mean_of(values, whose)) for name, values in of_cases.items()},
        "each_dice": [_dice_of_reader(among, reader) for reader in range(readers)],
        "cases": len(among),
    }


def _dice_of_reader(among: Sequence[Among], reader: int) -> Plain | None:
    """One reader against the others, on the cases that have so many readers."""
    dice = [case.dice[reader].mean() for case in among if reader < len(case.dice)]
    return _told(mean_interval(np.array(dice), seed=SEED))


def _groups(tables: Sequence[ModelScores], column: str) -> Plain:
    """The scores of each value of a column."""
    measured = tables[0].measured
    values = np.array([fact(measured.truth.units[case].cases[0], column) for case in measured.cases])
    return {value or "(empty)": _group(tables, values == value) for value in dict.fromkeys(values.tolist())}


def _group(tables: Sequence[ModelScores], inside: np.ndarray) -> Plain:
    whose = patients(tables[0].measured)
    groups = None if whose is None else np.asarray(whose)[inside].tolist()
    arms: Plain = {}
    for table in tables:
        means = {name: mean_of(table.of_cases(name)[inside], groups) for name in table.measured.manner.metrics}
        arms[table.name] = _all_told(means)
    return {"cases": int(inside.sum()), "arms": arms}


def _all_told(intervals: _Intervals) -> Plain:
    return {name: _told(interval) for name, interval in intervals.items()}


def _told(interval: Interval | None) -> Plain | None:
    if interval is None or not interval.cases:
        return None
    return {name: _finite(value) for name, value in interval._asdict().items()}


def _plainly(value: Any) -> Any:
    """Intervals, arrays and numbers, whatever they lie in, as plain data."""
    match value:
        case Interval():
            return _told(value)
        case Mapping():
            return {name: _plainly(each) for name, each in value.items()}
        case np.ndarray():
            return [_finite(each) for each in value.tolist()]
        case float():
            return _finite(value)
    return value


def _finite(value: float) -> float | None:
    """Six decimals; None where unknown."""
    if not math.isfinite(value):
        return None
    return value if isinstance(value, int) else round(value, 6)
