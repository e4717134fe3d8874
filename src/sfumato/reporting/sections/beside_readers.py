"""Ensembles beside several readers: cases that no reader marked told apart, and how probable a class was called."""

from collections.abc import Iterator, Mapping
from typing import Any

from sfumato.reporting.content import Table
from sfumato.reporting.meaning import heading, model_heading
from sfumato.reporting.reading import DASH
from sfumato.reporting.sections.comparison import interval_of, interval_text

_BY_MARKS = ("ged_v", "ged_u", "hm_iou", "reader_coverage_80", "presence_brier")
"""Numbers that are told of both kinds of cases."""

_KINDS = {"marked": "with a mark", "all_empty": "all readers empty"}
"""How cases are called, by their name in the summary."""

_Told = Mapping[str, Any]
"""A part of `summary.json`."""


def marks_table(summary: _Told) -> Table | None:
    """Numbers beside the readers where some reader marks something, and where none does; None where all are alike."""
    arms = {arm: about["by_marks"] for arm, about in summary.get("arms", {}).items() if about.get("by_marks")}
    if not any(split["marked"]["cases"] and split["all_empty"]["cases"] for split in arms.values()):
        return None
    rows = list[tuple[str, ...]]()
    for kind, called in _KINDS.items():
        rows += [(called, model_heading(arm, summary), *_of_marks(split[kind])) for arm, split in arms.items()]
    rows += _differences(summary, next(iter(arms)))
    caption = (
        "Where every reader left the case empty, a model that marks nothing is at distance 0, and only false alarms "
        "can be told: masks that mark something (members that do). Coverage is of cases in which some mask does."
    )
    columns = ("cases", "model", "number", *map(heading, _BY_MARKS), "false alarms")
    return Table(title="By what the readers marked", columns=columns, rows=tuple(rows), caption=caption)


def _of_marks(split: _Told) -> tuple[str, ...]:
    means = [_shown(split["means"].get(name)) for name in _BY_MARKS]
    return (str(split["cases"]), *means, _false_alarms(split))


def _differences(summary: _Told, first: str) -> Iterator[tuple[str, ...]]:
    """The first model minus the others where some reader marks something."""
    for other, gaps in summary.get("differences_where_marked", {}).items():
        means = [_shown(gaps.get(name), sign="+") for name in _BY_MARKS] if gaps else [DASH] * len(_BY_MARKS)
        yield (_KINDS["marked"], f"{first} minus {other}", "", *means, DASH)


def _false_alarms(split: _Told) -> str:
    members = split.get("members_with_false_alarm")
    if members is None:
        return DASH
    return f"{split['false_alarms']} of {split['cases']} ({members['mean']:.1%} of the members)"


def presence_table(summary: _Told) -> Table | None:
    """How often the members have a class beside how often the readers do, by bins; None with one reader."""
    rows = list[tuple[str, ...]]()
    for arm, about in summary.get("arms", {}).items():
        for label, of_class in about.get("per_class", {}).items():
            rows += [(arm, label, *cells) for cells in _of_presence(of_class.get("presence_beside_readers"))]
    if not rows:
        return None
    caption = (
        "Cases by the probability that the class is there at all: the share of the members that have it, of a single "
        "mask with probabilities the largest of any pixel. Calibrated: the readers have it as often as the members say."
    )
    columns = ("model", "class", "probability of presence", "cases", "members have it", "readers have it")
    return Table(title="Is it there at all?", columns=columns, rows=tuple(rows), caption=caption)


def _of_presence(presence: _Told | None) -> Iterator[tuple[str, ...]]:
    if presence is None:
        return
    bins = presence["bins"]
    count = len(bins["images"])
    for number, images in enumerate(bins["images"]):
        if images:
            ours, theirs = bins["probability"][number], bins["readers"][number]
            yield f"{number / count:.0%} to {(number + 1) / count:.0%}", str(images), f"{ours:.0%}", f"{theirs:.0%}"


def _shown(told: _Told | None, *, sign: str = "") -> str:
    known = interval_of(told)
    return DASH if known is None else interval_text(known, sign=sign)
