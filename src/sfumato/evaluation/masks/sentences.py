"""What the numbers say, in sentences that a clinician can read and that claim no more than the intervals do."""

from collections.abc import Iterator, Mapping
from typing import Any

from sfumato.evaluation.masks.sentences_readers import all_empty_sentences, reader_sentences
from sfumato.metrics.table import METRIC_TABLE
from sfumato.wording import counted

_FEW = 10
"""With fewer patients an interval is rough itself."""

_LEAST = 4
"""Cases of which 30 % are one at least."""

_FEW_CASES = 30
"""With fewer cases an interval is mostly about the cases that happened to be there."""

_Told = Mapping[str, Any]
"""A part of the summary, see `sfumato.evaluation.masks.summary`."""


def mask_sentences(summary: _Told) -> list[str]:
    """Sentences about a summary, the most important first.

    Of a model that is not better than one and the same mask for every image this is said, and what was found and
    missed; nothing else follows from its masks.
    """
    _, arm = _first(summary)
    if _is_constant(arm) and arm["dice"] is not None:
        nothing = f"{arm['constant_mask']['told']}. Nothing else follows from its masks."
        return [_mean_dice(summary), nothing, *_presence(summary), *all_empty_sentences(summary)]
    return [
        *_overlap(summary),
        *_differences(summary),
        *_presence(summary),
        *_calibrated(arm),
        *_review(arm),
        *reader_sentences(summary),
    ]


def _is_constant(arm: _Told) -> bool:
    """Whether a model is not known to be better than a constant mask."""
    found: _Told = arm.get("constant_mask") or {"verdict": "better"}
    return str(found["verdict"]) != "better"


def limits(summary: _Told) -> list[str]:
    """What the numbers do not say, and by which rules they were made."""
    return [
        *_distances(summary),
        *_about_patients(summary),
        *_about_cases(summary),
        *_about_splits(summary),
        *_about_left_out(summary),
    ]


def _first(summary: _Told) -> tuple[str, _Told]:
    name: str = next(iter(summary["arms"]))
    return name, summary["arms"][name]


def _overlap(summary: _Told) -> Iterator[str]:
    name, arm = _first(summary)
    dice = arm["dice"]
    if dice is None:
        yield f"No case of {name} has a Dice: in none of them is there anything to overlap."
        return
    yield _mean_dice(summary)
    own = summary["readers_own"]
    if own and own["dice"]:
        yield (
            f"A reader agrees with the other readers with a Dice of {own['dice']['mean']:.2f}, {name} with a reader "
            f"with {dice['mean']:.2f}: {_beside(dice, own['dice'])}."
        )


def _mean_dice(summary: _Told) -> str:
    name, arm = _first(summary)
    whom = f" of {counted(summary['patients'], 'patient')}" if summary["patients"] else ""
    return f"{name}: mean Dice {_of(arm['dice'])} on {counted(summary['cases'], 'case')}{whom}."


def _beside(dice: _Told, readers: _Told) -> str:
    """More or less only where the intervals of both are apart."""
    known = dice["low"] is not None and readers["low"] is not None
    if known and dice["high"] < readers["low"]:
        return "less than the readers among themselves"
    if known and readers["high"] < dice["low"]:
        return "more than the readers themselves"
    return "the two cannot be told apart on these cases"


def _differences(summary: _Told) -> Iterator[str]:
    name, _ = _first(summary)
    for other, difference in summary["differences"].items():
        gap = difference["dice"]
        arm = summary["arms"].get(other, {})
        if gap is None:
            continue
        if _is_constant(arm):
            yield f"{arm['constant_mask']['told']}: that {name} is better proves nothing."
        else:
            yield _which_is_better(name, other, gap)


def _which_is_better(name: str, other: str, gap: _Told) -> str:
    if gap["low"] is None or gap["low"] <= 0 <= gap["high"]:
        cases = counted(gap["cases"], "case")
        return f"{name} and {other} cannot be told apart by Dice on these {cases}: {_of(gap, sign='+')}."
    word = "better" if gap["mean"] > 0 else "worse"
    return f"{name} is {word} than {other} in Dice on the same cases, by {_of(_size(gap))}."


def _size(gap: _Told) -> _Told:
    """A difference without its sign, which the sentence says."""
    if gap["mean"] > 0:
        return gap
    return {**gap, "mean": -gap["mean"], "low": -gap["high"], "high": -gap["low"]}


def _presence(summary: _Told) -> Iterator[str]:
    _, arm = _first(summary)
    for label, of_class in arm["per_class"].items():
        what = "the object" if len(arm["per_class"]) == 1 else label
        if of_class["presence_sensitivity"]:
            yield _found(what, of_class)
        if of_class["presence_specificity"]:
            yield _false_alarms(what, of_class, summary["empty"])


def _found(what: str, of_class: _Told) -> str:
    with_it = counted(of_class["with_reference"], "reference mask that has", "reference masks that have")
    share = of_class["presence_sensitivity"]
    missed = counted(of_class["missed"], "was", "were")
    return (
        f"Of {with_it} {what}, something of it was found in {share['mean']:.0%} "
        f"[{share['low']:.0%} to {share['high']:.0%}]; {missed} missed."
    )


def _false_alarms(what: str, of_class: _Told, empty: str) -> str:
    without = counted(of_class["readings"] - of_class["with_reference"], "reference mask")
    rule = "counts as Dice 1" if empty == "one" else "is left out of all means"
    return (
        f"Of {without} without {what}, {of_class['false_alarms']} got a false alarm; "
        f"in {of_class['both_empty']} both are empty, which {rule}."
    )


def _calibrated(arm: _Told) -> Iterator[str]:
    if arm.get("ece_foreground"):
        yield (
            f"Around the object, the confidence differs from the accuracy by {arm['ece_foreground']['mean']:.2f} on "
            "average (0 is calibrated)."
        )


def _review(arm: _Told) -> Iterator[str]:
    """What the order of review is good for, where enough cases have one."""
    review = arm["review"]
    if review is None or review.get("cases", _LEAST) < _LEAST:
        return
    found, best, (low, high) = (review[name]["0.3"] for name in ("found", "found_best", "found_interval"))
    if found is None or low is None or high is None:
        return
    verdict = "not surely more"
    if low > 0.3:
        verdict = "more"
    elif high < 0.3:
        verdict = "less"
    yield (
        f"A reader who reviews the first 30 % of the cases in the order of review finds {found:.0%} "
        f"[{low:.0%} to {high:.0%}] of the total error: {verdict} than the 30 % of a random order; the best "
        f"possible order finds {best:.0%}."
    )
    orders = [_other_order(name, order) for name, order in review.get("other_orders", {}).items()]
    if orders:
        yield f"The first 30 % of the same cases in other orders find {', '.join(orders)}."


def _other_order(name: str, order: _Told) -> str:
    """What another order finds, and whether that is less than the order of review finds."""
    low, high = order["found_difference"]["0.3"]
    verdict = "no difference shown"
    if low is not None and low > 0:
        verdict = "less"
    elif high is not None and high < 0:
        verdict = "more"
    by = "uncertainty alone" if name == "uncertainty" else f"the order of {name}"
    return f"{order['found']['0.3']:.0%} by {by} ({verdict})"


def _distances(summary: _Told) -> Iterator[str]:
    _, arm = _first(summary)
    if not _has_distances(arm):
        return
    unit = "millimetres" if summary["length"] == "mm" else "pixels: the files do not tell millimetres for every case"
    yield f"Distances are in {unit}; outlines count as equal within {summary['tolerance']:g} {summary['length']}."
    penalised = sum(of_class["penalised"] for of_class in arm["per_class"].values())
    if penalised:
        yield (
            f"In {counted(penalised, 'comparison')} one mask is empty and the other is not: their distance is the "
            "diagonal of the image, so that a missed object cannot improve the mean."
        )


def _has_distances(arm: _Told) -> bool:
    """Whether a score of the model is a distance, or counts what lies within one."""
    scores = [metric for name, metric in METRIC_TABLE.items() if name in arm]
    return any(metric.unit == "length" or metric.within for metric in scores)


def _about_patients(summary: _Told) -> Iterator[str]:
    people = summary["patients"]
    if people == 1:
        yield "One patient only: nothing says how much another would differ."
    elif people is not None and people < _FEW:
        yield f"Only {counted(people, 'patient')}: the intervals draw patients again, and over so few they are rough."
    elif people is None and summary["cases"] >= 2:
        yield "Whose the cases are is not known: if some show the same patient, the intervals are too narrow."


def _about_cases(summary: _Told) -> Iterator[str]:
    if summary["cases"] == 1:
        yield "One case only: another may give other numbers."
    elif summary["cases"] < _FEW_CASES:
        few = counted(summary["cases"], "case")
        yield f"{few} only: the intervals are wide, and other cases may give other numbers."


def _about_splits(summary: _Told) -> Iterator[str]:
    if "train" in summary["splits"]:
        yield "Some cases are from the training split: the model has seen them, and the numbers flatter it."
    elif summary["splits"] == ["validation"]:
        yield "The cases chose the best weights (validation split): no test cases were held out."


def _about_left_out(summary: _Told) -> Iterator[str]:
    others = f" of other splits than {' and '.join(summary['splits'])}" if summary["splits"] else ""
    for name, count in summary["left_out"].items():
        if count:
            yield f"{name}: {counted(count, 'case')}{others} not predicted, and not scored."


def _of(interval: _Told, *, sign: str = "") -> str:
    """A mean with its interval."""
    if interval["low"] is None:
        return f"{interval['mean']:{sign}.3f} (one case or one patient: no interval)"
    return f"{interval['mean']:{sign}.3f} (95 % interval {interval['low']:{sign}.3f} to {interval['high']:{sign}.3f})"
