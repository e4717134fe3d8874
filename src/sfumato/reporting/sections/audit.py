"""The section of an audit: does the diffusion part matter? What was found, the arms in one table and in one figure."""

import math
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sfumato.errors import DataError
from sfumato.metrics.table import AUDITED
from sfumato.reporting.content import Gallery, Section, Table
from sfumato.reporting.forest import ForestRow, forest
from sfumato.reporting.meaning import heading
from sfumato.reporting.reading import DASH, listings, plotted, read_optional_json, spared_part
from sfumato.wording import counted

_FEW = 20
"""Patients below which only large differences can be seen."""

WAYS = (
    ("recommended", "as the recipe samples"),
    ("call", "the same model with so many calls for each member"),
    ("twin", "the deterministic twin: the same network without a noisy state"),
    ("ssn", "logits that are drawn (ssn): as many members, in one pass over the image"),
    ("views", "the twin over flipped and turned views, with as many calls as the model"),
    ("random", "shown noise in place of its own state"),
    ("shuffled", "shown the state of another case"),
)
"""What an arm is, by the last of these words that its name has."""

_Told = Mapping[str, float | None]
"""A mean with its interval."""


def audit_section(folder: Path) -> Section:
    """A folder written by `audit`.

    Raises:
        DataError: its summary is missing.
    """
    about = read_optional_json(folder / "summary.json")
    if not about:
        raise DataError(f"{folder} has no summary.json", expected="a folder written by sfumato audit", code="DATA-024")
    ways = counted(len(about["arms"]), "way")
    cases = f"{counted(about['cases'], 'case')} of {counted(about['patients'], 'patient')}"
    return Section(
        title="Does the diffusion part matter?",
        name=folder.name,
        summary=f"{cases} segmented in {ways}",
        reading=tuple(about["reading"]),
        limits=_limits(about),
        headline=(_table(about["arms"], about.get("constant_mask", {}).get("recommended")),),
        blocks=(*_figure(about["arms"]), _ways(about["arms"]), *listings(folder, "summary.json", "provenance.json")),
    )


def _limits(about: Mapping[str, Any]) -> tuple[str, ...]:
    limits = ["All of it holds for this model on this data; a longer training may change it."]
    if about["patients"] < _FEW:
        limits.append(f"{counted(about['patients'], 'patient')}: only large differences can be seen.")
    if about["readers"] < 2:
        limits.append("One reader: whether the members differ as readers do cannot be said.")
    return tuple(limits)


def _table(arms: Mapping[str, Any], constant: Mapping[str, Any] | None) -> Table:
    audited = [name for name in AUDITED if _is_known(name, arms.values())]
    rows = [_row(name, arm, audited) for name, arm in arms.items()]
    if constant is not None:
        unknown = (DASH,) * (1 + len(audited))
        rows.append((f"{constant['mask']}, in every image", "0", f"{constant['dice']:.3f}", *unknown))
    return Table(
        title="The same cases, segmented in other ways",
        columns=("way", "network calls", "Dice", "minus recommended", *map(heading, audited)),
        rows=tuple(rows),
        caption="In brackets: 95 % confidence interval, bootstrapped over patients. A difference whose interval "
        "contains 0 is not shown by these cases. Calls and seconds are those of one image. ECE and AUROC (of the "
        "entropy of a pixel against its being wrong) are those around the object.",
    )


def _is_known(name: str, arms: Iterable[Mapping[str, Any]]) -> bool:
    """Whether some way has a number."""
    return any(arm[name] is not None for arm in arms)


def _row(name: str, arm: Mapping[str, Any], audited: Iterable[str]) -> tuple[str, ...]:
    numbers = [_three(arm[column]) for column in audited]
    return (name, str(arm["network_calls"]), _interval(arm["dice"]), _interval(arm["difference"], sign="+"), *numbers)


def _three(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"


def _interval(told: _Told | None, *, sign: str = "") -> str:
    if told is None:
        return DASH
    mean, low, high = _ends(told)
    return f"{mean:{sign}.3f} [{low:.3f}, {high:.3f}]"


def _ends(told: _Told) -> tuple[float, float, float]:
    """The mean and the ends of its interval; nan where one is not known."""
    return _known(told["mean"]), _known(told["low"]), _known(told["high"])


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _ways(arms: Iterable[str]) -> Table:
    rows = tuple((name, _way(name)) for name in arms)
    return Table(title="What each way is", columns=("way", "what it is"), rows=rows)


def _way(name: str) -> str:
    """What an arm is, by the last of the words that its name has."""
    return [what for word, what in WAYS if word in name][-1]


@spared_part
def _figure(arms: Mapping[str, Any]) -> tuple[Gallery, ...]:
    lines = [ForestRow(name, *_ends(arm["difference"])) for name, arm in arms.items() if arm["difference"] is not None]
    draw = partial(forest, lines, unit="difference in Dice")
    picture = plotted(draw, title="Dice minus that of recommended")
    caption = "Minus recommended, with its 95 % interval. Right of the line the other way was better."
    return (Gallery(title="How far from recommended", pictures=(picture,), size="wide", caption=caption),)
