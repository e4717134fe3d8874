"""The section of a search for better settings: its trials, the best on top, and the recipe of the best."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sfumato.reporting.content import Section, Table
from sfumato.reporting.reading import listings, number, shown_cell
from sfumato.tables import Row, read_rows
from sfumato.wording import counted

TABLE, BEST = "trials.csv", "best.yaml"
"""Files of a study: a row for each trial, and the recipe of the best one."""

_WORDS: Mapping[str, str] = {"complete": "complete", "pruned": "given up", "failed": "failed"}
"""How a trial ended, for a person."""


def study_section(folder: Path) -> Section:
    """A folder written by `tune`."""
    rows = sorted(read_rows(folder / TABLE), key=_place)
    return Section(
        title="Search for settings",
        name=folder.name,
        summary=f"{counted(len(rows), 'trial')}: {_ends(rows)}",
        reading=_reading(rows),
        limits=(
            "The scores are those that chose: of validation cases, the best of many trials. A run of the best "
            "settings may score less.",
        ),
        headline=(_table(rows),),
        blocks=tuple(listings(folder, BEST)),
    )


def _place(row: Row) -> tuple[bool, float]:
    """Complete trials first, the best on top; then those that were given up or failed, in the same order."""
    score = number(row.get("score", ""))
    place = math.inf if math.isnan(score) else -score
    return row.get("state") != "complete", place


def _ends(rows: Sequence[Row]) -> str:
    count = Counter(row.get("state", "") for row in rows)
    ends = [f"{count[state]} {words}" for state, words in _WORDS.items() if count[state]]
    return ", ".join(ends) or "none is over yet"


def _reading(rows: Sequence[Row]) -> tuple[str, ...]:
    complete = [row for row in rows if row.get("state") == "complete"]
    if not complete:
        return ("No trial is complete yet.",)
    best = complete[0]
    if len(complete) > 1 and len({row["score"] for row in complete}) == 1:
        return (f"All {counted(len(complete), 'complete trial')} scored {shown_cell(best['score'])}: none is better.",)
    settings = ", ".join(f"{field} = {shown_cell(best[field])}" for field in _fields(rows))
    return (f"The best is trial {best['trial']}, with a score of {shown_cell(best['score'])}: {settings}.",)


def _fields(rows: Sequence[Row]) -> list[str]:
    """The settings that were searched."""
    if not rows:
        return []
    return [name for name in rows[0] if name not in ("trial", "state", "score", "run", "note")]


def _table(rows: Sequence[Row]) -> Table:
    names = ("trial", "state", "score", *_fields(rows), "note")
    cells = tuple(_cells(row, names) for row in rows)
    caption = f"The score is the best of a trial's validations, the higher the better. Everything is in {TABLE}."
    return Table(title="Trials, the best on top", columns=names, rows=cells, caption=caption)


def _cells(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(_cell(row, name) for name in names)


def _cell(row: Row, name: str) -> str:
    if name == "state":
        return _WORDS.get(row[name], row[name])
    return shown_cell(row.get(name, ""))
