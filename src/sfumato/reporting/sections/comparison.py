"""The scores of one or several models side by side, each with its interval, and their differences.

Intervals are those of `summary.json` where it has them; else they are computed from the rows of `scores.csv`, so that
older folders and tables by other hands have a page too. A case counts with the mean of its foreground classes;
intervals are bootstrapped over patients where they are known, else over cases, differences over the cases that both
models have.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from sfumato.metrics.interval import Interval, grouped_mean_interval
from sfumato.metrics.table import GROUPS
from sfumato.reporting.content import Note, Table
from sfumato.reporting.meaning import heading, meaning, model_heading, titled
from sfumato.reporting.reading import DASH, number, shown_cell
from sfumato.tables import Row
from sfumato.wording import counted

_SEED = 0
"""Seed of the bootstrap: the same scores give the same page."""

_WORDS = {
    "id", "class", "arm", "members", "readers", "label", "patient", "site", "split",
    "image", "reference", "prediction", "overlay",
}  # fmt: skip
"""Columns of scores.csv that are no metric."""

RANK_COLUMN = "review_rank"
"""The column with the place of a case in the order of review, which is no metric either."""

_WITH_MEMBERS = ("Readers", "Size and presence")
"""The groups of metrics that cannot be read without the number of members and readers."""

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
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row.get("arm", ""), []).append(row)
    return {name: arms[name] for name in sorted(arms, key=lambda name: "twin" in name.lower())}


def comparison_tables(
    arms: Arms, summary: _Summary, *, source: str
) -> tuple[tuple[Table | Note, ...], tuple[Table, ...]]:
    """Mean and interval of every metric, the arms side by side, and the difference of the first to the others.

    Returns:
        What one came for: overlap and outline, and cases that not all arms have. Then the other groups.
    """
    tables: dict[str, Table] = {}
    for group, rows in _rows_by_group(arms, summary).items():
        if rows:
            tables[group] = _table(group, rows, arms, summary, source=source)
    first = [group for group in tables if group in _FIRST] or list(tables)[:1]
    headline = [tables.pop(group) for group in first]
    return (*headline, *_unpaired(arms)), tuple(tables.values())


def _rows_by_group(arms: Arms, summary: _Summary) -> dict[str, list[tuple[str, ...]]]:
    """A row for each metric, by the group that it belongs to."""
    scored = _metrics(arms, summary)
    grouped = set(chain.from_iterable(GROUPS.values()))
    rows: dict[str, list[tuple[str, ...]]] = {}
    for group, names in GROUPS.items():
        rows[group] = [_row(arms, name, summary) for name in names if name in scored]
    others = [_row(arms, name, summary) for name in scored if name not in grouped]
    rows["Other numbers"] = others + _only_summarised(list(arms), summary, scored=scored)
    return rows


def _table(group: str, rows: Sequence[tuple[str, ...]], arms: Arms, summary: _Summary, *, source: str) -> Table:
    first, *others = list(arms) or [""]
    caption = f"Folder {source}. In brackets: 95 % confidence interval, bootstrapped over {_whom(arms)}."
    if _some_lack_cases(rows, len(arms)):
        caption += " (n/N): only n of the N cases have this number."
    if others:
        caption += " A difference whose interval contains 0 is not shown by these cases."
    means = [arm or "mean" for arm in arms]
    if group in _WITH_MEMBERS:
        means = [model_heading(arm, summary) for arm in arms]
        caption += " M members of a case; numbers that depend on M are compared at one M, or with a single mask."
    differences = [f"{first} minus {other}" for other in others]
    return Table(
        title=f"{group}: {' beside '.join(arms)}" if others else group,
        columns=("metric", *means, *differences, "meaning"),
        rows=tuple(rows),
        caption=caption,
    )


def _some_lack_cases(rows: Sequence[tuple[str, ...]], arms: int) -> bool:
    """Whether a mean says of how many cases it is."""
    means = chain.from_iterable(cells[1 : 1 + arms] for cells in rows)
    return any("/" in mean for mean in means)


def _whom(arms: Arms) -> str:
    rows = chain.from_iterable(arms.values())
    return "patients" if any(row.get("patient") for row in rows) else "cases"


def class_tables(arms: Arms, summary: _Summary) -> tuple[Table, ...]:
    """Mean of every metric for each class, if there is more than one."""
    metrics = _metrics(arms, summary)
    classes = list(dict.fromkeys(row.get("class", "") for row in chain.from_iterable(arms.values())))
    if len(classes) < 2:
        return ()
    cells = list[tuple[str, ...]]()
    for arm, rows in arms.items():
        cells += [(arm or DASH, label, *_class_means(rows, label, metrics)) for label in classes]
    columns = ("model", "class", *(titled(metric, summary) for metric in metrics))
    return (Table(title="Each class", columns=columns, rows=tuple(cells), caption="Means over the cases."),)


def _class_means(rows: Sequence[Row], label: str, metrics: Sequence[str]) -> list[str]:
    of_class = [row for row in rows if row.get("class") == label]
    means = list[str]()
    for metric in metrics:
        values = list(case_values(of_class, metric).values())
        means.append(f"{np.mean(values):.3f}" if values else DASH)
    return means


def case_values(rows: Sequence[Row], name: str) -> CaseValues:
    """The mean over classes of each case; cases without a finite value are left out."""
    values: dict[str, list[float]] = {}
    for row in rows:
        value = number(row.get(name, ""))
        if math.isfinite(value):
            values.setdefault(row["id"], []).append(value)
    return {case: float(np.mean(of_classes)) for case, of_classes in values.items()}


def _metrics(arms: Arms, summary: _Summary) -> list[str]:
    """The columns whose cells are all numbers (or empty), in the order of the table."""
    rows = list(chain.from_iterable(arms.values()))
    if not rows:
        return []
    facts = _WORDS | {RANK_COLUMN} | set(summary.get("groups", ()))
    return [name for name in rows[0] if name not in facts and _is_metric(name, rows)]


def _is_metric(column: str, rows: Sequence[Row]) -> bool:
    return all(_is_number(row[column]) for row in rows) and bool(case_values(rows, column))


def _is_number(cell: str) -> bool:
    """Whether a cell is a number, or says that there is none."""
    return cell.lower() in ("", "nan") or not math.isnan(number(cell))


def _row(arms: Arms, metric: str, summary: _Summary) -> tuple[str, ...]:
    """One metric: its mean in every arm, the differences of the first arm to the others, what it means."""
    means = [_mean(name, rows, metric, summary) for name, rows in arms.items()]
    first, *others = arms
    gaps = [_difference(arms[first], arms[other], metric, summary, of=other) for other in others]
    return (titled(metric, summary), *means, *gaps, meaning(metric))


def _mean(arm: str, rows: Sequence[Row], metric: str, summary: _Summary) -> str:
    """The mean and its interval, and the number of cases if some have no finite value."""
    total = len({row["id"] for row in rows})
    known = interval_of(summary.get("arms", {}).get(arm, {}).get(metric))
    if known is None:
        cases = case_values(rows, metric)
        if not cases:
            return DASH
        known = _bootstrapped(cases, rows)
    if known.cases == total:
        return interval_text(known)
    return f"{interval_text(known)} ({known.cases}/{total})"


def interval_of(told: object) -> Interval | None:
    """An interval that the summary tells; None where it tells none."""
    if not isinstance(told, Mapping) or "mean" not in told:
        return None
    mean, low, high = (_known_or_nan(told[name]) for name in ("mean", "low", "high"))
    return Interval(mean, low, high, level=told["level"], cases=told["cases"])


def _known_or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _bootstrapped(cases: CaseValues, rows: Sequence[Row]) -> Interval:
    """The mean over cases, with the interval over patients."""
    whose = {row["id"]: row.get("patient") or row["id"] for row in rows}
    return grouped_mean_interval(np.array(list(cases.values())), [whose[case] for case in cases], seed=_SEED)


def _difference(first: Sequence[Row], other: Sequence[Row], metric: str, summary: _Summary, *, of: str) -> str:
    """The first arm minus another on the cases that both have."""
    told = summary.get("differences", {}).get(of, {})
    if metric in told and told[metric] is None:
        return DASH
    known = interval_of(told.get(metric))
    if known is None:
        ours, theirs = case_values(first, metric), case_values(other, metric)
        gaps = {case: value - theirs[case] for case, value in ours.items() if case in theirs}
        if not gaps:
            return DASH
        known = _bootstrapped(gaps, first)
    return interval_text(known, sign="+")


def _only_summarised(arms: Sequence[str], summary: _Summary, *, scored: Sequence[str]) -> list[tuple[str, ...]]:
    """Numbers of a whole arm that exist in `summary.json` alone, such as network calls: they have no interval."""
    if not arms:
        return []
    known = summary.get("arms") or {arms[0]: summary.get("foreground_mean", {})}
    by_arm = [known.get(arm, {}) for arm in arms]
    no_differences = [DASH] * (len(arms) - 1)
    rows = list[tuple[str, ...]]()
    for name, first in by_arm[0].items():
        if name.lower() in scored or not meaning(name) or isinstance(first, Mapping):
            continue
        values = [shown_cell(of_arm.get(name, "")) for of_arm in by_arm]
        rows.append((heading(name), *values, *no_differences, meaning(name)))
    return rows


def _unpaired(arms: Arms) -> Iterator[Note]:
    """Cases that not every arm has: they count in the mean of theirs and in no difference."""
    scored = {arm: {row["id"] for row in rows} for arm, rows in arms.items()}
    everything = set().union(*scored.values())
    for arm, cases in scored.items():
        missing = sorted(everything - cases)
        if missing:
            without = counted(len(missing), "case")
            yield Note(f"{arm} has no score for {without}, left out of the differences: {_few(missing)}")


def _few(names: Sequence[str], *, limit: int = 20) -> str:
    shown = ", ".join(names[:limit])
    if len(names) > limit:
        shown += f" and {len(names) - limit} more"
    return shown


def interval_text(interval: Interval, *, sign: str = "") -> str:
    """A mean with its interval: three decimals, fewer for large numbers."""
    form = f"{sign}z.3f" if abs(interval.mean) < 10 else f"{sign}z.1f"
    if math.isnan(interval.low):
        return f"{interval.mean:{form}}"
    return f"{interval.mean:{form}} [{interval.low:{form}}, {interval.high:{form}}]"
