"""`sfumato evaluate masks`: scores of every case, with intervals, beside the twin, other models and the readers."""

from pathlib import Path
from typing import Any

from sfumato.commands.flags.numbers import Count
from sfumato.commands.output.layout import show_table
from sfumato.commands.output.scores import tables
from sfumato.errors import UsageError
from sfumato.evaluation.masks.predictions import Missing
from sfumato.metrics.masks import METRICS, Empty
from sfumato.metrics.table import METRIC_TABLE
from sfumato.numerals import decimal
from sfumato.progress import say
from sfumato.verbs.evaluate_masks import evaluate_masks
from sfumato.wording import counted


def masks(
    predictions: Path,
    reference: Path,
    /,
    *,
    out: Path,
    against: list[Path] | None = None,
    metrics: str = ",".join(METRICS),
    by: str | None = None,
    empty: Empty = "one",
    missing: Missing = "refuse",
    class_names: str | None = None,
    workers: Count | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score masks per case, class and patient, with bootstrap intervals, beside the twin, other models, the readers.

    Args:
        predictions: A folder written by `sfumato segment` or by nnU-Net, or any folder of masks.
        reference: The true masks: a dataset, a folder of images and masks, an nnU-Net raw dataset, or masks alone.
        out: The folder to write.
        against: Other predictions of the same cases; may be repeated. Their difference is that of the pairs.
        metrics: Scores wanted; nsd:2 counts outlines within 2 mm (or pixels) as equal. Dice is always among them.
        by: Columns of the reference, like site,label: the scores for each of their values too.
        empty: one: both masks empty counts Dice 1; nan: it is left out; nnunet: distances to an empty mask too.
        missing: refuse cases without a prediction; or leave-out: count them; or empty: score them as empty masks.
        class_names: Names of the values of the true masks, such as liver,tumour (for 1 and 2) or 0=ignore; what is
            called ignore counts nowhere. Predictions hold the same values, or class indices.
        workers: Processes that score; by default all cores, where there is enough to score.
        overwrite: Replace a folder that is not empty.
    """
    names, tolerance = parse_metrics(metrics)
    scores = evaluate_masks(
        predictions,
        reference,
        out=out,
        against=against or (),
        metrics=names,
        tolerance=tolerance,
        by=[word for word in (by or "").split(",") if word],
        empty=empty,
        missing=missing,
        class_names=[name.strip() for name in class_names.split(",")] if class_names else (),
        workers=workers,
        overwrite=overwrite,
    )
    summary = scores.summary
    for table in tables(summary):
        show_table(table.head, table.rows, title=table.title, keys=table.keys)
    for sentence in [*summary["notes"], *summary["reading"], *summary["limits"]]:
        say(sentence)
    say(f"scores of {counted(summary['cases'], 'case')} in {out}")
    return {"scores": str(out), **summary}


def parse_metrics(text: str) -> tuple[tuple[str, ...], float | None]:
    """The scores of `--metrics`, and the tolerance of `nsd:2`.

    Raises:
        UsageError: a score that does not exist, or a tolerance that is no distance.
    """
    names, tolerance = list[str](), None
    for word in (part.strip() for part in text.split(",")):
        name, colon, number = word.partition(":")
        if name not in METRICS or (colon and not METRIC_TABLE[name].within):
            within = (f"{each}:2" for each in METRICS if METRIC_TABLE[each].within)
            raise UsageError(f"--metrics {text}: there is no '{word}'", expected=", ".join((*METRICS, *within)))
        if colon:
            tolerance = _distance(number, text)
        names.append(name)
    return tuple(names), tolerance


def _distance(number: str, text: str) -> float:
    distance = decimal(number) or 0.0
    if not 0 < distance < 1e6:
        raise UsageError(
            f"--metrics {text}: the tolerance '{number}' is no distance", expected="millimetres, as in nsd:2"
        )
    return distance
