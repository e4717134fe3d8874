"""Everything that was measured as plain data: `summary.json`, from which the console and the report are written."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfumato.evaluation.masks.constant import beside_constant
from sfumato.evaluation.masks.evaluate import Evaluation, ScoredModel
from sfumato.evaluation.masks.nnunet import nnunet_summary
from sfumato.evaluation.masks.references import is_whole_volume
from sfumato.evaluation.masks.sentences import limits, mask_sentences
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
from sfumato.metrics.interval import Interval, drawn_again, mean_interval, share_interval
from sfumato.metrics.selective import SHARES, error_found, risk_coverage, spearman

AGAIN = 999
"""Times that the order of review is tried on cases drawn again."""

Plain = dict[str, Any]
"""Plain data; unknown numbers are None."""


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
    tables = [ModelScores(measured, arm) for arm in measured.arms]
    theirs = nnunet_summary(measured)
    first = tables[0]
    ours = {name: _finite(float(finite_mean(first.of_cases(name)))) for name in measured.manner.metrics}
    summary: Plain = {
        "kind": "masks",
        "reading": [],
        "limits": [],
        "cases": len(measured.cases),
        "patients": count_patients(measured),
        "splits": sorted({measured.truth.units[case].cases[0].split or "" for case in measured.cases} - {""}),
        "readers": max(len(case.readings) for case in measured.arms[0].cases.values()),
        "classes": [target.name for target in measured.manner.targets],
        "empty": measured.manner.empty,
        "length": measured.length,
        "volume": _volume(measured),
        "tolerance": measured.manner.tolerance,
        "mask_values": measured.manner.rule.text,
        "arms": {table.arm.predictions.name: _arm(table, groups) for table in tables},
        "differences": {other.arm.predictions.name: _difference(first, other, groups) for other in tables[1:]},
        "readers_own": _readers_own(measured, groups),
        "groups": {column: _groups(tables, column) for column in by},
        "left_out": {arm.predictions.name: len(arm.predictions.left_out) for arm in measured.arms},
        "notes": list(measured.notes),
        **theirs,
        "foreground_mean": {**theirs["foreground_mean"], **ours},
    }
    summary["reading"], summary["limits"] = mask_sentences(summary), limits(summary)
    return summary


def _arm(table: ModelScores, groups: Sequence[str] | None) -> Plain:
    """The means of one model, by class, and what its uncertainty is good for."""
    means = {name: mean_of(table.of_cases(name), groups) for name in table.names if name != "review_rank"}
    constant = beside_constant(table)
    return {
        "folder": str(table.arm.predictions.folder.resolve()),
        "network_calls": table.arm.predictions.calls,
        "members": max(case.members for case in table.arm.cases.values()),
        **{name: _told(mean) for name, mean in means.items()},
        "per_patient": {} if groups is None else _per_patient(table, groups),
        "per_class": _per_class(table, groups, means),
        "review": _review(table, groups),
        "reliability": _reliability(table.arm),
        "constant_mask": constant and {**constant.to_dict(), "told": constant.told(table.arm.predictions.name)},
    }


def _per_patient(table: ModelScores, groups: Sequence[str]) -> Plain:
    """Means over the patients, each counting once, however many cases it has."""
    means = {name: np.array(list(by_patient(table.of_cases(name), groups).values())) for name in table.names
             if name in table.measured.manner.metrics}  # fmt: skip
    return {name: _told(mean_of(values, None)) for name, values in means.items()}


def _per_class(table: ModelScores, groups: Sequence[str] | None, overall: Mapping[str, Interval | None]) -> Plain:
    """Each target by itself: means, and whether it was found at all; a single target has the means of all."""
    manner = table.measured.manner
    found: Plain = {}
    for place, target in enumerate(manner.targets):
        intervals = {
            name: overall[name] if len(manner.targets) == 1 else mean_of(table.of_targets(name)[:, place], groups)
            for name in manner.metrics
        }
        found[target.name] = {
            **{name: None if mean is None else _finite(mean.mean) for name, mean in intervals.items()},
            **_presence(table.arm, place),
            "intervals": {name: _told(mean) for name, mean in intervals.items()},
        }
    return found


def _presence(arm: ScoredModel, place: int) -> Plain:
    """Counts over all readings of all cases, and the Dice of those in which the reference has the target."""
    readings = [scores for case in arm.cases.values() for scores in case.readings]
    drawn, true, worst = (
        np.array([getattr(scores, name)[place] for scores in readings])
        for name in ("in_prediction", "in_reference", "penalised")
    )
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


def _review(table: ModelScores, groups: Sequence[str] | None) -> Plain | None:
    """Whether uncertain cases are the wrong ones, and how much error a reader finds; None without an order."""
    if not {"review_rank", "uncertainty"} <= set(table.names):
        return None
    error, doubt, rank = 1.0 - table.of_cases("dice"), table.of_cases("uncertainty"), table.of_cases("review_rank")
    known = np.isfinite(error) & np.isfinite(doubt) & np.isfinite(rank)
    if not known.any():
        return None
    error, doubt, rank = error[known], doubt[known], rank[known]
    risk = risk_coverage(-rank, error)
    whose = np.arange(len(error)).astype(str) if groups is None else np.asarray(groups)[known]
    return {
        "cases": int(known.sum()),
        "spearman": _finite(spearman(-rank, error)),
        "spearman_uncertainty": _finite(spearman(doubt, error)),
        "aurc": _finite(risk.aurc),
        "aurc_oracle": _finite(risk.aurc_oracle),
        "aurc_random": _finite(risk.aurc_random),
        "found": _shares(error_found(-rank, error)),
        "found_interval": _found_again(rank, error, whose),
        "found_random": {f"{share:g}": share for share in SHARES},
        "found_best": _shares(error_found(error, error)),
    }


def _found_again(rank: np.ndarray, error: np.ndarray, whose: np.ndarray) -> Plain:
    """95 % percentile interval of the share of the error that is found, cases (or patients) drawn again."""
    drawn = drawn_again(whose.tolist(), seed=SEED, times=AGAIN)
    found = [list(error_found(-rank[rows], error[rows]).values()) for rows in drawn]
    low, high = np.nanpercentile(np.array(found), (2.5, 97.5), axis=0) if error.any() else (SHARES, SHARES)
    return {f"{share:g}": [_finite(float(a)), _finite(float(b))] for share, a, b in zip(SHARES, low, high, strict=True)}


def _shares(found: Mapping[float, float]) -> Plain:
    return {f"{share:g}": _finite(value) for share, value in found.items()}


def _reliability(arm: ScoredModel) -> Plain | None:
    """The bins of all cases together; None without probabilities."""
    sides = {
        "everywhere": [case.everywhere for case in arm.cases.values() if case.everywhere is not None],
        "band": [case.band for case in arm.cases.values() if case.band is not None],
    }
    return {name: _bins(pooled(bins)) for name, bins in sides.items()} if sides["band"] else None


def _bins(bins: Reliability) -> Plain:
    return {**{name: values.round(3).tolist() for name, values in bins._asdict().items()}, "ece": _finite(ece(bins))}


def _volume(measured: Evaluation) -> str:
    """The unit of sizes: of volumes, of planes, or pixels."""
    if measured.length != "mm":
        return measured.length
    return "mm\xb3" if any(is_whole_volume(measured.truth.units[case]) for case in measured.cases) else "mm\xb2"


def _difference(first: ModelScores, other: ModelScores, groups: Sequence[str] | None) -> Plain:
    """The first model minus another on the same cases, for every number that both have."""
    shared = [name for name in first.names if name in other.names and name != "review_rank"]
    return {name: _told(mean_of(first.of_cases(name) - other.of_cases(name), groups)) for name in shared}


def _readers_own(measured: Evaluation, groups: Sequence[str] | None) -> Plain | None:
    """What the readers' disagreement makes of the same numbers; None with one reader."""
    if not measured.readers:
        return None
    of_whom = None if groups is None else [groups[measured.cases.index(case)] for case in measured.readers]
    among = list(measured.readers.values())
    columns = {
        "dice": np.array([float(one.dice.mean()) for one in among]),
        "ged_v": np.array([one.ged_v for one in among]),
        "hm_iou": np.array([one.matched_iou for one in among]),
        "diversity": np.array([one.diversity for one in among]),
    }
    count = max(len(one.dice) for one in among)
    each = [[one.dice[reader].mean() for one in among if reader < len(one.dice)] for reader in range(count)]
    return {
        **{name: _told(mean_of(values, of_whom)) for name, values in columns.items()},
        "each_dice": [_told(mean_interval(np.array(of_reader), seed=SEED)) for of_reader in each],
        "cases": len(among),
    }


def _groups(tables: Sequence[ModelScores], column: str) -> Plain:
    """The scores of each value of a column."""
    measured = tables[0].measured
    value = np.array([fact(measured.truth.units[case].cases[0], column) for case in measured.cases])
    return {name or "(empty)": _group(tables, value == name) for name in dict.fromkeys(value.tolist())}


def _group(tables: Sequence[ModelScores], inside: np.ndarray) -> Plain:
    whose = patients(tables[0].measured)
    groups = None if whose is None else np.asarray(whose)[inside].tolist()
    metrics = tables[0].measured.manner.metrics
    return {
        "cases": int(inside.sum()),
        "arms": {
            table.arm.predictions.name: {name: _told(mean_of(table.of_cases(name)[inside], groups)) for name in metrics}
            for table in tables
        },
    }


def _told(interval: Interval | None) -> Plain | None:
    if interval is None or not interval.cases:
        return None
    return {name: _finite(value) for name, value in interval._asdict().items()}


def _finite(value: float) -> float | None:
    """Six decimals; None where unknown."""
    if not math.isfinite(value):
        return None
    return value if isinstance(value, int) else round(value, 6)
