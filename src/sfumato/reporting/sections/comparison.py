"""The scores of one or several models side by side, each with its interval, and their differences.

Intervals are those of `summary.json` where it has them; else they are computed from the rows of `scores.csv`, so that
older folders and tables by other hands have a page too. A case counts with the mean of its foreground classes;
intervals are bootstrapped over patients where they are known, else over cases, differences over the cases that both
models have.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfumato.metrics.interval import Interval, grouped_mean_interval
from sfumato.metrics.table import GROUPS
from sfumato.reporting.content import Note, Table
from sfumato.reporting.meaning import heading, meaning, titled
from sfumato.reporting.reading import DASH, number, shown_cell
from sfumato.tables import Row
from sfumato.wording import counted

_SEED = 0
"""Seed of the bootstrap: the same scores give the same page."""

_WORDS = {"id", "class", "arm", "label", "patient", "site", "split", "image", "reference", "prediction", "overlay"}
"""Columns of scores.csv that are no metric."""

RANK_COLUMN = "review_rank"
"""The column with the place of a case in the order of review, which is no metric either."""

_FIRST = ("Overlap", "Outline")
"""The groups of metrics that one looks at first."""

Arms = Mapping[str, Sequence[Row]]
"""The rows of each model, the one that is compared with the others first."""

_Summary = Mapping[str, Any]
"""The content of `summary.json`."""

CaseValues = dict[str, float]
"""One finite value of a metric for each case, by id."""


def split_arms(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each arm, the deterministic twin last."""
    names = sorted(dict.fromkeys(row.get("arm", "") for row in rows), key=lambda name: "twin" in name.lower())
    return {name: [row for row in rows if row.get("arm", "") == name] for name in names}


def comparison_tables(
    arms: Arms, summary: _Summary, *, source: str
) -> tuple[tuple[Table | Note, ...], tuple[Table, ...]]:
    """Mean and interval of every metric, the arms side by side, and the difference of the first to the others.

    Returns:
        What one came for: overlap and outline, and cases that not all arms have. Then the other groups.
    """
    scored = _metrics(arms, summary)
    known = {name for names in GROUPS.values() for name in names}
    groups = {group: [name for name in names if name in scored] for group, names in GROUPS.items()}
    groups["Other numbers"] = [name for name in scored if name not in known]
    rows = {group: [_row(arms, name, summary) for name in names] for group, names in groups.items()}
    rows["Other numbers"] += _only_summarised(list(arms), summary, scored=scored)
    tables = {group: _table(group, of_group, arms, source=source) for group, of_group in rows.items() if of_group}
    first = [tables.pop(group) for group in list(tables) if group in _FIRST] or [
        tables.pop(group) for group in [*tables][:1]
    ]
    return (*first, *_unpaired(arms)), tuple(tables.values())


def _table(group: str, rows: Sequence[tuple[str, ...]], arms: Arms, *, source: str) -> Table:
    first, *others = list(arms) or [""]
    caption = f"Folder {source}. In brackets: 95 % confidence interval, bootstrapped over {_whom(arms)}."
    if any("/" in cell for row in rows for cell in row[1 : 1 + len(arms)]):
        caption += " (n/N): only n of the N cases have this number."
    if others:
        caption += " A difference whose interval contains 0 is not shown by these cases."
    return Table(
        title=f"{group}: {' beside '.join(arms)}" if others else group,
        columns=(
            "metric",
            *(arm or "mean" for arm in arms),
            *(f"{first} minus {other}" for other in others),
            "meaning",
        ),
        rows=tuple(rows),
        caption=caption,
    )


def _whom(arms: Arms) -> str:
    return "patients" if any(row.get("patient") for rows in arms.values() for row in rows) else "cases"


def class_tables(arms: Arms, summary: _Summary) -> tuple[Table, ...]:
    """Mean of every metric for each class, if there is more than one."""
    metrics = _metrics(arms, summary)
    classes = list(dict.fromkeys(row.get("class", "") for rows in arms.values() for row in rows))
    if len(classes) < 2:
        return ()
    rows = tuple(
        (arm or DASH, label, *_class_means(of_arm, label, metrics)) for arm, of_arm in arms.items() for label in classes
    )
    columns = ("model", "class", *(titled(metric, summary) for metric in metrics))
    return (Table(title="Each class", columns=columns, rows=rows, caption="Means over the cases."),)


def _class_means(rows: Sequence[Row], label: str, metrics: Sequence[str]) -> list[str]:
    of_class = [row for row in rows if row.get("class") == label]
    values = (list(case_values(of_class, metric).values()) for metric in metrics)
    return [f"{np.mean(of_metric):.3f}" if of_metric else DASH for of_metric in values]


def case_values(rows: Sequence[Row], name: str) -> CaseValues:
    """The mean over classes of each case; cases without a finite value are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if math.isfinite(value := number(row.get(name, ""))):
            values.setdefault(row["id"], []).append(value)
    return {case: float(np.mean(of_classes)) for case, of_classes in values.items()}


def _metrics(arms: Arms, summary: _Summary) -> list[str]:
    """The columns whose cells are all numbers (or empty), in the order of the table."""
    rows = [row for arm in arms.values() for row in arm]
    facts = _WORDS | {RANK_COLUMN} | set(summary.get("groups", ()))
    names = [name for name in (rows[0] if rows else {}) if name not in facts]
    return [
        name for name in names if all(not row[name] or _numeric(row[name]) for row in rows) and case_values(rows, name)
    ]


def _numeric(cell: str) -> bool:
    return cell.lower() == "nan" or not math.isnan(number(cell))


def _row(arms: Arms, metric: str, summary: _Summary) -> tuple[str, ...]:
    """One metric: its mean in every arm, the differences of the first arm to the others, what it means."""
    means = [_mean(name, rows, metric, summary) for name, rows in arms.items()]
    first, *others = arms
    gaps = [_difference(arms[first], arms[other], metric, summary, of=other) for other in others]
    return (titled(metric, summary), *means, *gaps, meaning(metric))


def _mean(arm: str, rows: Sequence[Row], metric: str, summary: _Summary) -> str:
    """The mean and its interval, and the number of cases if some have no finite value."""
    total = len({row["id"] for row in rows})
    known = _known(summary.get("arms", {}).get(arm, {}).get(metric))
    if known is None:
        cases = case_values(rows, metric)
        if not cases:
            return DASH
        known = _bootstrapped(cases, rows)
    return interval_text(known) + ("" if known.cases == total else f" ({known.cases}/{total})")


def _known(told: object) -> Interval | None:
    """An interval that the summary tells."""
    if not isinstance(told, Mapping) or "mean" not in told:
        return None
    mean, low, high = (math.nan if told[name] is None else float(told[name]) for name in ("mean", "low", "high"))
    return Interval(mean, low, high, level=told["level"], cases=told["cases"])


def _bootstrapped(cases: CaseValues, rows: Sequence[Row]) -> Interval:
    """The mean over cases, with the interval over patients."""
    whose = {row["id"]: row.get("patient") or row["id"] for row in rows}
    return grouped_mean_interval(np.array(list(cases.values())), [whose[case] for case in cases], seed=_SEED)


def _difference(first: Sequence[Row], other: Sequence[Row], metric: str, summary: _Summary, *, of: str) -> str:
    """The first arm minus another on the cases that both have."""
    known = _known(summary.get("differences", {}).get(of, {}).get(metric))
    if known is None:
        ours, theirs = case_values(first, metric), case_values(other, metric)
        gaps = {case: value - theirs[case] for case, value in ours.items() if case in theirs}
        if not gaps:
            return DASH
        known = _bootstrapped(gaps, first)
    return interval_text(known, sign="+")


def _only_summarised(arms: Sequence[str], summary: _Summary, *, scored: Sequence[str]) -> list[tuple[str, ...]]:
    """Numbers of a whole arm that exist in `summary.json` alone, such as network calls: they have no interval."""
    known = summary.get("arms") or {arm: summary.get("foreground_mean", {}) for arm in arms[:1]}
    values = [known.get(arm, {}) for arm in arms]
    names = [
        name
        for name, value in (values[0] if values else {}).items()
        if name.lower() not in scored and meaning(name) and not isinstance(value, Mapping)
    ]
    return [
        (heading(name), *(shown_cell(of.get(name, "")) for of in values), *[DASH] * (len(arms) - 1), meaning(name))
        for name in names
    ]


def _unpaired(arms: Arms) -> tuple[Note, ...]:
    """Cases that not every arm has: they count in the mean of theirs and in no difference."""
    ids = {arm: {row["id"] for row in rows} for arm, rows in arms.items()}
    everything = set().union(*ids.values())
    missing = [(arm, sorted(everything - have)) for arm, have in ids.items() if everything - have]
    return tuple(
        Note(f"{arm} has no score for {counted(len(cases), 'case')}, left out of the differences: {_few(cases)}")
        for arm, cases in missing
    )


def _few(names: Sequence[str], *, limit: int = 20) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def interval_text(interval: Interval, *, sign: str = "") -> str:
    """A mean with its interval: three decimals, fewer for large numbers."""
    digits = 3 if abs(interval.mean) < 10 else 1
    bounds = f" [{interval.low:{sign}z.{digits}f}, {interval.high:{sign}z.{digits}f}]"
    return f"{interval.mean:{sign}z.{digits}f}" + ("" if math.isnan(interval.low) else bounds)
