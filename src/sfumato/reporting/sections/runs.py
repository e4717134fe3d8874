"""The section of a training run: how the numbers went, what it drew on the way, what was decided and why."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sfumato.files import matching
from sfumato.reporting.card import CARD_FILE, limits_of_run, read_card
from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Note, Section, Table, Verbatim
from sfumato.reporting.figures import NOT_A_METRIC, Panel, chart, panels
from sfumato.reporting.meaning import heading, meaning
from sfumato.reporting.reading import (
    DASH,
    STRIP,
    listings,
    picture,
    plotted,
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
        summary="; ".join(map(_in_words, facts)) or "nothing trained yet",
        limits=tuple(limits_of_run(folder)),
        blocks=(
            *_in_short(facts),
            *_warnings(records),
            *_curves(records),
            *_grids(folder / "samples"),
            *_process(folder / "samples" / "process.png"),
            *_plan(folder / "plan.json"),
            *_card(folder),
            *listings(folder, "recipe.yaml", "provenance.json"),
        ),
    )


def _facts(records: Records) -> tuple[Fact, ...]:
    """How far the run is, and what its last validation found."""
    return (*_progress(_of_kind("train", records)), *_validation(_of_kind("validate", records)))


def _of_kind(kind: str, records: Records) -> Records:
    return [record for record in records if record.get("kind") == kind]


def _progress(trained: Records) -> Iterator[Fact]:
    if not trained:
        return
    last = trained[-1]
    yield Fact("Steps", shown_cell(last["step"]), "Updates of the weights.")
    yield Fact("Images", shown_cell(last["images"]), "Images seen, each one counted as often as it came.")
    yield Fact("Time", _duration(last["seconds"]), "Time spent in training steps, over all resumes.")
    yield Fact("Loss", shown_cell(last["loss"]), meaning("loss"))


def _validation(validated: Records) -> Iterator[Fact]:
    if not validated:
        return
    for name, value in validated[-1].items():
        if name not in NOT_A_METRIC:
            yield Fact(f"Validation {heading(name)}", shown_cell(value), meaning(name))


def _in_words(fact: Fact) -> str:
    name = f"{fact.name[:1].lower()}{fact.name[1:]}"
    return f"{name} {fact.value}"


def _in_short(facts: tuple[Fact, ...]) -> tuple[Block, ...]:
    return (KeyNumbers("In short", facts),) if facts else ()


def _card(folder: Path) -> tuple[Block, ...]:
    card = read_card(folder)
    return (Verbatim(CARD_FILE, card),) if card else ()


def _warnings(records: Records) -> tuple[Note, ...]:
    warnings = _of_kind("warning", records)
    return tuple(Note(f"Warning after {counted(record['step'], 'step')}: {record['text']}.") for record in warnings)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


@spared_part
def _curves(records: Records) -> tuple[Block, ...]:
    found = panels(records)
    if not found:
        return ()
    caption = "Pale lines are single records, strong lines their moving average."
    return (Gallery(title="Learning curves", pictures=tuple(map(_chart, found)), size="wide", caption=caption),)


def _chart(panel: Panel) -> Image:
    return plotted(partial(chart, panel), title=panel.title)


@spared_part
def _grids(folder: Path) -> tuple[Block, ...]:
    """Sample grids from the first to the last, evenly chosen; the file names hold the step with leading zeros."""
    files = matching(folder, "step-*.png")
    if not files:
        return ()
    chosen = _from_first_to_last(files, min(_GRIDS, len(files)))
    pictures = tuple(picture(file, f"step {int(file.stem.removeprefix('step-'))}") for file in chosen)
    left_out = len(files) - len(chosen)
    caption = f"{left_out} of {counted(len(files), 'grid')} left out; all are in samples/." if left_out else ""
    return (Gallery(title="Samples during training", pictures=pictures, size="wide", caption=caption),)


def _from_first_to_last(files: Sequence[Path], count: int) -> list[Path]:
    """So many of the files, from the first to the last."""
    last = len(files) - 1
    return [files[round(place * last / max(1, count - 1))] for place in range(count)]


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
    rows = list[tuple[str, ...]]()
    for entry in plan:
        choice, reason = str(entry.get("choice", DASH)), str(entry.get("reason", ""))
        rows.append((choice, as_setting(entry.get("value")), reason))
    columns = ("choice", "value", "reason")
    caption = "What was decided from the data, and why."
    return (Table(title="Automatic choices", columns=columns, rows=tuple(rows), caption=caption),)
