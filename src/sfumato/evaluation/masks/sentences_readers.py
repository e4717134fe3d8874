"""What is said of ensembles beside several readers: always with the number of members and of readers."""

from collections.abc import Iterator, Mapping
from typing import Any

from sfumato.metrics.reader_calibration import COVERAGE_LEVELS
from sfumato.metrics.table import METRIC_TABLE, heading
from sfumato.wording import counted

_COMPARED = ("ged_u", "ged_v", "hm_iou", "reader_coverage_80")
"""Numbers by which two ensembles are compared in words."""

_JUDGED = 80
"""Level of the interval by which it is said whether members vary as readers do, per cent."""

_Told = Mapping[str, Any]
"""A part of the summary, see `sfumato.evaluation.masks.summary`."""


def reader_sentences(summary: _Told) -> Iterator[str]:
    """Sentences about the first model beside the readers, and beside other models; none with one reader."""
    name, arm = next(iter(summary["arms"].items()))
    if not summary["readers_own"] or not arm.get("ged_v"):
        return
    yield _distance(summary, arm)
    yield from _differences(summary, name)
    yield from _coverage(arm)
    yield from _presence(arm)
    yield from all_empty_sentences(summary)


def all_empty_sentences(summary: _Told) -> Iterator[str]:
    """Cases that no reader marked, where there are some: they are at distance 0 for a model that marks nothing."""
    name, arm = next(iter(summary["arms"].items()))
    split = arm.get("by_marks")
    if not split or not split["all_empty"]["cases"]:
        return
    empty, marked = split["all_empty"], split["marked"]
    told = (
        f"In {counted(empty['cases'], 'case')} no reader marked anything: the mask of {name} claims something in "
        f"{empty['false_alarms']}, {empty['members_with_false_alarm']['mean']:.1%} of its members do, and GED² (V) is "
        f"{empty['means']['ged_v']['mean']:.3f}"
    )
    if marked["cases"]:
        told += f"; in the {counted(marked['cases'], 'case')} with a mark it is {marked['means']['ged_v']['mean']:.3f}"
    yield told + "."


def _distance(summary: _Told, arm: _Told) -> str:
    unbiased = f", {arm['ged_u']['mean']:.3f} without the bias of few members" if arm.get("ged_u") else ""
    own = summary["readers_own"]
    return (
        f"As a distribution over masks: squared energy distance {arm['ged_v']['mean']:.3f} with "
        f"{counted(arm['members'], 'member')} beside {counted(summary['readers'], 'reader')}{unbiased}; drawing from "
        f"the readers themselves would give {arm['ged_v_floor']['mean']:.3f} and 0, and one reader against the others "
        f"has {own['ged_v']['mean']:.3f}."
    )


def _differences(summary: _Told, name: str) -> Iterator[str]:
    """The first model minus each of the others, number by number, with what the interval allows to say."""
    whom = "patients" if summary["patients"] else "cases"
    for other, gaps in summary["differences"].items():
        told = [_gap(number, gaps[number]) for number in _COMPARED if gaps.get(number)]
        if told:
            yield (
                f"{name} minus {other} beside the readers, on the same cases, with 95 % intervals over {whom}: "
                f"{'; '.join(told)}."
            )
        if not gaps.get("ged_v") and summary["arms"].get(other, {}).get("ged_v"):
            members = " and ".join(str(summary["arms"][each]["members"]) for each in (name, other))
            yield (
                f"{name} and {other} have {members} members: GED² (V), HM-IoU and coverage depend on that number, and "
                "are not compared."
            )


def _gap(number: str, gap: _Told) -> str:
    ends = "no interval" if gap["low"] is None else f"{gap['low']:+.3f} to {gap['high']:+.3f}"
    return f"{heading(number)} {gap['mean']:+z.3f} ({ends}; {_verdict(number, gap)})"


def _verdict(number: str, gap: _Told) -> str:
    """Better or worse, or more or less of what should only be near another number, where the interval says so."""
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        return "not told apart"
    better = METRIC_TABLE[number].better
    if better == "neither":
        return "more" if gap["mean"] > 0 else "less"
    return "better" if (gap["mean"] > 0) == (better == "higher") else "worse"


def _coverage(arm: _Told) -> Iterator[str]:
    """Whether the readers' sizes lie among the members' sizes as often as they should."""
    found, exact = _intervals(arm, ""), _intervals(arm, "_exact")
    if not found or not exact:
        return
    yield (
        f"The members' central intervals of size at {_joined(COVERAGE_LEVELS)} hold {_shares(found)} of the readers' "
        f"sizes; with {counted(arm['members'], 'member')} an exact sampler's would hold {_shares(exact)}: "
        f"{_beside_exact(arm[f'reader_coverage_{_JUDGED}'], arm[f'reader_coverage_{_JUDGED}_exact'])}."
    )


def _intervals(arm: _Told, suffix: str) -> list[_Told]:
    """The coverage at each level; nothing where no case has one, as with a single mask."""
    return [arm[name] for level in COVERAGE_LEVELS if arm.get(name := f"reader_coverage_{level}{suffix}")]


def _beside_exact(found: _Told, exact: _Told) -> str:
    if found["low"] is not None and found["high"] < exact["mean"]:
        return "too few, the members vary less than the readers or beside them"
    if found["low"] is not None and found["low"] > exact["mean"]:
        return "too many, the members vary more than the readers"
    return f"not told apart from it at {_JUDGED} %"


def _joined(levels: tuple[int, ...]) -> str:
    *first, last = levels
    return f"{', '.join(map(str, first))} and {last} %"


def _shares(told: list[_Told]) -> str:
    *first, last = [f"{each['mean']:.0%}" for each in told]
    return f"{', '.join(first)} and {last}"


def _presence(arm: _Told) -> Iterator[str]:
    """Whether an object is there in as many members as readers, for each class."""
    for label, of_class in arm["per_class"].items():
        presence = of_class.get("presence_beside_readers")
        if presence:
            what = "the object" if len(arm["per_class"]) == 1 else label
            yield (
                f"That {what} is there at all was called {presence['probability']:.0%} probable on average, and "
                f"{presence['readers']:.0%} of the readings have it: Brier score {of_class['presence_brier']:.3f}, "
                f"where drawing from the readers would have {of_class['presence_brier_exact']:.3f}; calibration error "
                f"{presence['ece']:.3f}."
            )
