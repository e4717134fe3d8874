"""The section of scores: the models side by side, the classes, and the cases behind the means."""

from pathlib import Path

from sfumato.report.cases import TRIPLE, extreme_cases
from sfumato.report.comparison import compare, each_class, split_arms
from sfumato.report.content import Section
from sfumato.report.reading import listings, read_json, read_rows, table


def scores_section(folder: Path) -> Section:
    """A folder written by `evaluate`."""
    rows = read_rows(folder / "scores.csv")
    arms = split_arms(rows)
    count = len({row["id"] for row in rows})
    return Section(
        title="Scores",
        name=folder.name,
        summary=f"{count} cases scored: " + " and ".join(name or "one model" for name in arms),
        headline=compare(arms, read_json(folder / "summary.json") or {}, source=folder.name),
        blocks=(
            *each_class(arms),
            *extreme_cases(folder, next(iter(arms.values()), [])),
            table("All scores", rows, file="scores.csv", without={*TRIPLE, "overlay"}),
            *listings(folder, "summary.json", "provenance.json"),
        ),
    )
