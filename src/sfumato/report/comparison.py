"""The scores of one or several models side by side, each with its interval, and their differences.

Everything is computed from the rows of `scores.csv`, so the numbers can be checked with a spreadsheet. A case counts
with the mean of its foreground classes; intervals are bootstrapped over cases, differences over the cases that both
models have.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfumato.metrics.interval import Interval, difference_interval, mean_interval
from sfumato.report.content import Note, Table
from sfumato.report.meaning import heading, meaning
from sfumato.report.reading import UNKNOWN, Row, number, shown

SEED = 0
"""Seed of the bootstrap: the same scores give the same page."""

WORDS = {"id", "class", "arm", "label", "patient", "site", "split", "image", "reference", "prediction", "overlay"}
"""Columns of scores.csv that are no metric."""

Arms = Mapping[str, Sequence[Row]]
"""The rows of each model; the last one is the baseline."""

Cases = dict[str, float]
"""One finite value of a metric for each case, by id."""


def split_arms(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each arm, the deterministic twin last: it is the baseline."""
    names = sorted(dict.fromkeys(row.get("arm", "") for row in rows), key=lambda name: "twin" in name.lower())
    return {name: [row for row in rows if row.get("arm", "") == name] for name in names}


def compare(arms: Arms, summary: Mapping[str, Any], *, source: str) -> tuple[Table | Note, ...]:
    """Mean and interval of every metric, the arms side by side, and the difference to the last arm."""
    names = list(arms)
    *others, baseline = names or [""]
    rows = [_row(arms, metric) for metric in _metrics(arms)]
    rows += _only_summarised(names, summary, scored=_metrics(arms))
    differences = (f"{other} minus {baseline}" for other in others)
    caption = f"Folder {source}. In brackets: 95 % confidence interval, bootstrapped over cases."
    if any("/" in cell for row in rows for cell in row[1 : 1 + len(names)]):
        caption += " (n/N): only n of the N cases have this number."
    if others:
        caption += " A difference whose interval contains 0 is not shown by these cases."
    table = Table(
        title=" beside ".join(names) if others else "Scores",
        columns=("metric", *(arm or "mean" for arm in names), *differences, "meaning"),
        rows=tuple(rows),
        caption=caption,
    )
    return (table, *_unpaired(arms))


def each_class(arms: Arms) -> tuple[Table, ...]:
    """Mean of every metric for each class, if there is more than one."""
    metrics = _metrics(arms)
    classes = list(dict.fromkeys(row.get("class", "") for rows in arms.values() for row in rows))
    if len(classes) < 2:
        return ()
    rows = tuple(
        (arm or UNKNOWN, label, *_class_means(of_arm, label, metrics))
        for arm, of_arm in arms.items()
        for label in classes
    )
    columns = ("model", "class", *map(heading, metrics))
    return (Table(title="Each class", columns=columns, rows=rows, caption="Means over the cases."),)


def _class_means(rows: Sequence[Row], label: str, metrics: Sequence[str]) -> list[str]:
    of_class = [row for row in rows if row.get("class") == label]
    values = (list(case_values(of_class, metric).values()) for metric in metrics)
    return [f"{np.mean(of_metric):.3f}" if of_metric else UNKNOWN for of_metric in values]


def case_values(rows: Sequence[Row], name: str) -> Cases:
    """The mean over classes of each case; cases without a finite value are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if math.isfinite(value := number(row[name])):
            values.setdefault(row["id"], []).append(value)
    return {case: float(np.mean(of_classes)) for case, of_classes in values.items()}


def _metrics(arms: Arms) -> list[str]:
    """The columns whose cells are all numbers (or empty), in the order of the table."""
    rows = [row for arm in arms.values() for row in arm]
    names = [name for name in (rows[0] if rows else {}) if name not in WORDS]
    return [
        name for name in names if all(not row[name] or _numeric(row[name]) for row in rows) and case_values(rows, name)
    ]


def _numeric(cell: str) -> bool:
    return cell.lower() == "nan" or not math.isnan(number(cell))


def _row(arms: Arms, metric: str) -> tuple[str, ...]:
    """One metric: its mean in every arm, the differences to the last arm, what it means."""
    cases = [case_values(rows, metric) for rows in arms.values()]
    means = [_mean(of, total=_count(rows)) for of, rows in zip(cases, arms.values(), strict=True)]
    return (heading(metric), *means, *(_difference(of, cases[-1]) for of in cases[:-1]), meaning(metric))


def _count(rows: Sequence[Row]) -> int:
    return len({row["id"] for row in rows})


def _mean(cases: Cases, *, total: int) -> str:
    """The mean and its interval, and the number of cases if some have no finite value."""
    if not cases:
        return UNKNOWN
    counted = "" if len(cases) == total else f" ({len(cases)}/{total})"
    return _interval(mean_interval(np.array(list(cases.values())), seed=SEED)) + counted


def _only_summarised(
    arms: Sequence[str], summary: Mapping[str, Any], *, scored: Sequence[str]
) -> list[tuple[str, ...]]:
    """Numbers of a whole arm that exist in `summary.json` alone, such as a sensitivity: they have no interval."""
    known = summary.get("arms") or {arm: summary.get("foreground_mean", {}) for arm in arms[:1]}
    values = [known.get(arm, {}) for arm in arms]
    names = [name for name in (values[0] if values else {}) if name.lower() not in scored and meaning(name)]
    return [
        (heading(name), *(shown(of.get(name, "")) for of in values), *[UNKNOWN] * (len(arms) - 1), meaning(name))
        for name in names
    ]


def _unpaired(arms: Arms) -> tuple[Note, ...]:
    """Cases that not every arm has: they count in the mean of theirs and in no difference."""
    ids = {arm: {row["id"] for row in rows} for arm, rows in arms.items()}
    everything = set().union(*ids.values())
    missing = [(arm, sorted(everything - have)) for arm, have in ids.items() if everything - have]
    return tuple(
        Note(f"{arm} has no score for {len(cases)} cases, left out of the differences: {_few(cases)}")
        for arm, cases in missing
    )


def _few(names: Sequence[str], *, limit: int = 20) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _difference(cases: Cases, baseline: Cases) -> str:
    shared = [case for case in cases if case in baseline]
    if not shared:
        return UNKNOWN
    first, second = (np.array([of[case] for case in shared]) for of in (cases, baseline))
    return _interval(difference_interval(first, second, seed=SEED), sign="+")


def _interval(interval: Interval, *, sign: str = "") -> str:
    bounds = "" if math.isnan(interval.low) else f" [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"
    return f"{interval.mean:{sign}.3f}{bounds}"
