"""The section of a proof: the answer, the arms side by side, how far they are from their controls, and the limits."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfumato.reporting.content import Block, Gallery, Image, Section, Table
from sfumato.reporting.figures import INK, LIGHT_INK
from sfumato.reporting.forest import ForestRow, forest
from sfumato.reporting.meaning import heading, meaning
from sfumato.reporting.reading import DASH, address, listings, number, read_optional_json, spared_part
from sfumato.tables import Row, read_rows

_TITLE = "Does the synthetic data help?"
_SHARES = ("sensitivity", "specificity")

_Entry = Mapping[str, Any]


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
        limits=tuple(
            f"{text[:1].upper()}{text[1:].removesuffix('.')}." for text in (*summary["notes"], *summary["limits"])
        ),
    )


def _arms(summary: _Entry) -> Table:
    """Every arm with its measures, and its difference to the duplicates."""
    metrics = list(dict.fromkeys(entry["metric"] for entry in summary["arms"]))
    gains = {
        (entry["arm"], entry["ratio"]): entry
        for entry in summary["differences"]
        if entry["metric"] == summary["metric"] and entry["control"] == "real + duplicates"
    }
    cells = []
    for key in dict.fromkeys((entry["arm"], entry["ratio"]) for entry in summary["arms"]):
        values = [_interval(entry) for entry in summary["arms"] if (entry["arm"], entry["ratio"]) == key]
        gain = gains.get(key)
        tested = [f"{_interval(gain, sign='+')}", f"{gain['p']:.2g}"] if gain else [DASH, DASH]
        cells.append((_name(*key), *values, *tested))
    deciding = heading(summary["metric"])
    return Table(
        title=_TITLE,
        columns=("trained on", *map(heading, metrics), f"{deciding} minus duplicates", "p"),
        rows=tuple(cells),
        caption=f"Tested on real images. Means over {summary['settings']['seeds']} models each; in brackets what other "
        f"cases and other models would give. {' '.join(meaning(metric) for metric in metrics)}",
    )


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
    lines = [
        ForestRow(f"{_ratio(entry['ratio'])} against {entry['control']}", entry["value"], entry["low"], entry["high"])
        for entry in differences
        if entry["metric"] == metric
    ]
    unit = f"difference in {heading(metric)}"
    light, dark = (address(forest(lines, unit=unit, ink=ink)) for ink in (INK, LIGHT_INK))
    return Image(
        light=light, dark=dark, caption="", title=unit, width=810, height=round(150 * (0.75 + 0.3 * len(lines)))
    )


def _classes(rows: Sequence[Row]) -> tuple[Block, ...]:
    """Sensitivity and specificity of each class."""
    means = [row for row in rows if row["seed"] == "mean" and row["metric"] in _SHARES]
    if not means:
        return ()
    keys = dict.fromkeys((row["arm"], row["ratio"], row["class"]) for row in means)
    of_key = {
        key: {row["metric"]: row for row in means if (row["arm"], row["ratio"], row["class"]) == key} for key in keys
    }
    cells = tuple((_name(*key[:2]), key[2], *(_interval(of_key[key][share]) for share in _SHARES)) for key in keys)
    return (
        Table(
            title="Each class",
            columns=("trained on", "class", *_SHARES),
            rows=cells,
            caption="At the threshold at which the most probable class is said. Means over the models, with Wilson "
            "intervals for the test cases. Sensitivity: share of the class that is found; specificity: share of the "
            "others that is not taken for it.",
        ),
    )


def _constant(rows: Sequence[Row]) -> tuple[Block, ...]:
    """Accuracy and F1, only beside what they are for nothing."""
    means = [row for row in rows if row["seed"] == "mean" and row["metric"] in ("accuracy", "f1")]
    free = [row for row in rows if row["seed"] == "mean" and row["metric"] in ("prevalence", "f1_of_always")]
    if not means:
        return ()
    labels = list(dict.fromkeys(row["class"] for row in free))
    first = {(row["metric"], row["class"]): row["value"] for row in reversed(free)}
    always = [
        (
            f"always {label}",
            _plain(first["prevalence", label]),
            *(_plain(first["f1_of_always", label]) if label == own else "0" for own in labels),
        )
        for label in labels
    ]
    keys = dict.fromkeys((row["arm"], row["ratio"]) for row in means)
    trained = [
        (_name(*key), *(_plain(row["value"]) for row in means if (row["arm"], row["ratio"]) == key)) for key in keys
    ]
    return (
        Table(
            title="Beside always saying the same",
            columns=("trained on", "accuracy", *(f"F1 of {label}" for label in labels)),
            rows=(*always, *trained),
            caption="Accuracy and F1 depend on how common a class is: compare them with the first lines only.",
        ),
    )


def _data(summary: _Entry) -> Table:
    labels = list(dict.fromkeys(label for counts in summary["data"].values() for label in counts))
    cells = tuple((part, *(str(counts.get(label, 0)) for label in labels)) for part, counts in summary["data"].items())
    return Table(title="Images", columns=("images", *labels), rows=cells)


def _name(arm: str, ratio: object) -> str:
    return arm if ratio in (None, "") else f"{arm}, {_ratio(ratio)}"


def _ratio(ratio: object) -> str:
    return "filled up" if ratio is None else f"{number(ratio):g} x"


def _interval(entry: _Entry, *, sign: str = "") -> str:
    """A number with its interval."""
    value, low, high = (format(number(entry[name]), f"{sign}.3f") for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _plain(value: object) -> str:
    digits = number(value)
    return f"{digits:.3f}" if isinstance(value, str) and digits == digits else str(value)
