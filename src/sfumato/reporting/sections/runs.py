"""The section of a training run: how the numbers went, what it drew on the way, what was decided and why."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sfumato.files import matching
from sfumato.reporting.card import CARD_FILE, limits_of_run, read_card
from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Note, Section, Table, Verbatim
from sfumato.reporting.figures import INK, LIGHT_INK, NOT_A_METRIC, Panel, chart, panels
from sfumato.reporting.meaning import heading, meaning
from sfumato.reporting.reading import (
    DASH,
    STRIP,
    address,
    listings,
    picture,
    read_optional_json,
    shown_cell,
    spared_part,
)
from sfumato.training.log import read_log
from sfumato.wording import as_setting, counted

_GRIDS = 6
"""Sample grids that the page shows, from the first to the last."""

Records = Sequence[Mapping[str, Any]]


def run_section(folder: Path) -> Section:
    """A folder written by `train`."""
    records = read_log(folder / "log.jsonl")
    facts = _facts(records)
    return Section(
        title="Training run",
        name=folder.name,
        summary="; ".join(f"{fact.name[:1].lower()}{fact.name[1:]} {fact.value}" for fact in facts)
        or "nothing trained yet",
        limits=tuple(limits_of_run(folder)),
        blocks=(
            *([KeyNumbers("In short", facts)] if facts else []),
            *_warnings(records),
            *_curves(records),
            *_grids(folder / "samples"),
            *_process(folder / "samples" / "process.png"),
            *_plan(folder / "plan.json"),
            *([Verbatim(CARD_FILE, card)] if (card := read_card(folder)) else []),
            *listings(folder, "recipe.yaml", "provenance.json"),
        ),
    )


def _facts(records: Records) -> tuple[Fact, ...]:
    train = [record for record in records if record.get("kind") == "train"]
    facts = []
    if train:
        last = train[-1]
        facts += [
            Fact("Steps", shown_cell(last["step"]), "Updates of the weights."),
            Fact("Images", shown_cell(last["images"]), "Images seen, each one counted as often as it came."),
            Fact("Time", _duration(last["seconds"]), "Time spent in training steps, over all resumes."),
            Fact("Loss", shown_cell(last["loss"]), meaning("loss")),
        ]
    if validated := [record for record in records if record.get("kind") == "validate"]:
        metrics = [(name, value) for name, value in validated[-1].items() if name not in NOT_A_METRIC]
        facts += [Fact(f"Validation {heading(name)}", shown_cell(value), meaning(name)) for name, value in metrics]
    return tuple(facts)


def _warnings(records: Records) -> tuple[Note, ...]:
    warnings = [record for record in records if record.get("kind") == "warning"]
    return tuple(Note(f"Warning after {counted(record['step'], 'step')}: {record['text']}.") for record in warnings)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


@spared_part
def _curves(records: Records) -> tuple[Block, ...]:
    found = panels(records)
    if not found:
        return ()
    caption = "Pale lines are single records, strong lines their moving average."
    return (Gallery(title="Learning curves", pictures=tuple(map(_chart, found)), size="wide", caption=caption),)


def _chart(panel: Panel) -> Image:
    light, dark = address(chart(panel, ink=INK)), address(chart(panel, ink=LIGHT_INK))
    return Image(light=light, dark=dark, caption="", title=panel.title, width=810, height=495)


@spared_part
def _grids(folder: Path) -> tuple[Block, ...]:
    """Sample grids from the first to the last, evenly chosen; the file names hold the step with leading zeros."""
    files = matching(folder, "step-*.png")
    if not files:
        return ()
    count = min(_GRIDS, len(files))
    chosen = [files[round(place * (len(files) - 1) / max(1, count - 1))] for place in range(count)]
    pictures = tuple(picture(file, f"step {int(file.stem.removeprefix('step-'))}") for file in chosen)
    left_out = len(files) - count
    caption = f"{left_out} of {counted(len(files), 'grid')} left out; all are in samples/." if left_out else ""
    return (Gallery(title="Samples during training", pictures=pictures, size="wide", caption=caption),)


@spared_part
def _process(file: Path) -> tuple[Block, ...]:
    if not file.exists():
        return ()
    shot = picture(file, "from noise (left) to the sample (right)", limit=STRIP)
    return (Gallery(title="The denoising process", pictures=(shot,), size="strip"),)


def _plan(file: Path) -> tuple[Block, ...]:
    plan = read_optional_json(file)
    if not plan:
        return ()
    columns = ("choice", "value", "reason")
    rows = tuple(
        (str(entry.get("choice", DASH)), as_setting(entry.get("value")), str(entry.get("reason", ""))) for entry in plan
    )
    caption = "What was decided from the data, and why."
    return (Table(title="Automatic choices", columns=columns, rows=rows, caption=caption),)
