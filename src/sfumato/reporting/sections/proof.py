"""The section of a proof: the answer, the arms side by side, how far they are from their controls, and the limits."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from sfumato.reporting.content import Block, Gallery, Image, Section, Table
from sfumato.reporting.forest import ForestRow, forest
from sfumato.reporting.meaning import heading, meaning
from sfumato.reporting.reading import DASH, listings, number, plotted, read_optional_json, spared_part
from sfumato.tables import Row, read_rows

_TITLE = "Does the synthetic data help?"
_SHARES = ("sensitivity", "specificity")

_Entry = Mapping[str, Any]

_Key = tuple[str, object]
"""An arm, and how many synthetic images there are for each real one."""


def proof_section(folder: Path) -> Section:
    """A folder written by `prove`."""
    summary, rows = read_optional_json(folder / "summary.json"), read_rows(folder / "scores.csv")
    settings = tuple((name, _plain(value)) for name, value in summary["settings"].items())
    return Section(
        title=_TITLE,
        name=folder.name,
        summary=f"{summary['verdict']}, by {heading(summary['metric'])}",
        headline=(_arms(summary), *_forests(summary)),
        blocks=(
            *_classes(rows),
            *_constant(rows),
            _data(summary),
            Table(title="How every model was trained", columns=("setting", "value"), rows=settings),
            *listings(folder, "summary.json", "provenance.json"),
        ),
        reading=tuple(summary["reading"]),
        limits=tuple(map(_sentence, (*summary["notes"], *summary["limits"]))),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _arms(summary: _Entry) -> Table:
    """Every arm with its measures, and its difference to the duplicates."""
    metrics = list(dict.fromkeys(entry["metric"] for entry in summary["arms"]))
    gains = _beside_duplicates(summary)
    cells = list[tuple[str, ...]]()
    for key, entries in _by_arm(summary["arms"]).items():
        values = [_interval(entry) for entry in entries]
        gain, p = DASH, DASH
        if key in gains:
            gain, p = _interval(gains[key], sign="+"), f"{gains[key]['p']:.2g}"
        cells.append((_name(*key), *values, gain, p))
    deciding = heading(summary["metric"])
    return Table(
        title=_TITLE,
        columns=("trained on", *map(heading, metrics), f"{deciding} minus duplicates", "p"),
        rows=tuple(cells),
        caption=f"Tested on real images. Means over {summary['settings']['seeds']} models each; in brackets what other "
        f"cases and other models would give. {' '.join(meaning(metric) for metric in metrics)}",
    )


def _beside_duplicates(summary: _Entry) -> Mapping[_Key, _Entry]:
    """What every arm gains over as many duplicates of real images, by the deciding measure."""
    gains: dict[_Key, _Entry] = {}
    for entry in summary["differences"]:
        if entry["metric"] == summary["metric"] and entry["control"] == "real + duplicates":
            gains[entry["arm"], entry["ratio"]] = entry
    return gains


def _by_arm(entries: Iterable[_Entry]) -> Mapping[_Key, Sequence[_Entry]]:
    """Entries or rows of the same models."""
    by_arm: dict[_Key, list[_Entry]] = {}
    for entry in entries:
        by_arm.setdefault((entry["arm"], entry["ratio"]), []).append(entry)
    return by_arm


@spared_part
def _forests(summary: _Entry) -> tuple[Block, ...]:
    """The differences of every synthetic arm to each of its controls, one plot for each measure."""
    metrics = list(dict.fromkeys(entry["metric"] for entry in summary["differences"]))
    pictures = tuple(_forest(summary["differences"], metric) for metric in metrics)
    level = f"{100 * summary['differences'][0]['level']:.3g} %"
    caption = (
        f"Synthetic minus control, with its {level} interval. Right of the line the synthetic images were better; an "
        "interval that touches the line proves nothing."
    )
    return (Gallery(title="How far from the controls", pictures=pictures, size="wide", caption=caption),)


def _forest(differences: Sequence[_Entry], metric: str) -> Image:
    lines = list[ForestRow]()
    for entry in differences:
        if entry["metric"] == metric:
            name = f"{_ratio(entry['ratio'])} against {entry['control']}"
            lines.append(ForestRow(name, entry["value"], entry["low"], entry["high"]))
    unit = f"difference in {heading(metric)}"
    height = round(150 * (0.75 + 0.3 * len(lines)))
    return plotted(partial(forest, lines, unit=unit), title=unit, height=height)


def _classes(rows: Sequence[Row]) -> tuple[Block, ...]:
    """Sensitivity and specificity of each class."""
    means = _means(rows, _SHARES)
    if not means:
        return ()
    shares: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in means:
        of_class = shares.setdefault((row["arm"], row["ratio"], row["class"]), {})
        of_class[row["metric"]] = _interval(row)
    cells = list[tuple[str, ...]]()
    for (arm, ratio, label), of_class in shares.items():
        cells.append((_name(arm, ratio), label, *(of_class[share] for share in _SHARES)))
    return (
        Table(
            title="Each class",
            columns=("trained on", "class", *_SHARES),
            rows=tuple(cells),
            caption="At the threshold at which the most probable class is said. Means over the models, with Wilson "
            "intervals for the test cases. Sensitivity: share of the class that is found; specificity: share of the "
            "others that is not taken for it.",
        ),
    )


def _means(rows: Sequence[Row], metrics: Collection[str]) -> list[Row]:
    """The rows of some metrics that are means over all models."""
    return [row for row in rows if row["seed"] == "mean" and row["metric"] in metrics]


def _constant(rows: Sequence[Row]) -> tuple[Block, ...]:
    """Accuracy and F1, only beside what they are for nothing."""
    means = _means(rows, ("accuracy", "f1"))
    if not means:
        return ()
    free = _means(rows, ("prevalence", "f1_of_always"))
    labels = list(dict.fromkeys(row["class"] for row in free))
    cells = [_always(label, labels, free) for label in labels]
    for key, of_arm in _by_arm(means).items():
        cells.append((_name(*key), *(_plain(row["value"]) for row in of_arm)))
    return (
        Table(
            title="Beside always saying the same",
            columns=("trained on", "accuracy", *(f"F1 of {label}" for label in labels)),
            rows=tuple(cells),
            caption="Accuracy and F1 depend on how common a class is: compare them with the first lines only.",
        ),
    )


def _always(label: str, labels: Sequence[str], free: Sequence[Row]) -> tuple[str, ...]:
    """Accuracy and F1 of saying a label of every image."""
    first = {(row["metric"], row["class"]): _plain(row["value"]) for row in reversed(free)}
    own = {label: first["f1_of_always", label]}
    return (f"always {label}", first["prevalence", label], *(own.get(other, "0") for other in labels))


def _data(summary: _Entry) -> Table:
    labels = list(dict.fromkeys(chain.from_iterable(summary["data"].values())))
    cells = list[tuple[str, ...]]()
    for part, counts in summary["data"].items():
        numbers = [str(counts.get(label, 0)) for label in labels]
        cells.append((part, *numbers))
    return Table(title="Images", columns=("images", *labels), rows=tuple(cells))


def _name(arm: str, ratio: object) -> str:
    if ratio in (None, ""):
        return arm
    return f"{arm}, {_ratio(ratio)}"


def _ratio(ratio: object) -> str:
    return "filled up" if ratio is None else f"{number(ratio):g} x"


def _interval(entry: _Entry, *, sign: str = "") -> str:
    """A number with its interval."""
    value, low, high = (format(number(entry[name]), f"{sign}.3f") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(value: object) -> str:
    digits = number(value)
    if isinstance(value, str) and not math.isnan(digits):
        return f"{digits:.3f}"
    return str(value)
