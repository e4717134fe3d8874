"""`sfumato evaluate masks`: scores of every case, with intervals, beside the twin, other models and the readers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.commands.flags.numbers import Count
from sfumato.commands.output.layout import show_table
from sfumato.commands.output.scores import tables
from sfumato.data.manifest import written
from sfumato.errors import UsageError
from sfumato.evaluation.masks.evaluate import Settings
from sfumato.evaluation.masks.evaluate import evaluate as measure
from sfumato.evaluation.masks.predictions import Missing
from sfumato.evaluation.masks.summary import summarise
from sfumato.evaluation.masks.table import SEED
from sfumato.evaluation.masks.write import write_patients, write_scores
from sfumato.experiment.output_folder import claim_output
from sfumato.local import Names, without_paths
from sfumato.metrics.masks import METRICS, Empty
from sfumato.numerals import decimal
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
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
        workers: Processes that score; by default all cores, where there is enough to score.
        overwrite: Replace a folder that is not empty.
    """
    others = list(against or [])
    names, tolerance = parse_metrics(metrics)
    claim = claim_output(out, overwrite=overwrite, inputs=[predictions, *others], used=[reference])
    columns = [word for word in (by or "").split(",") if word]
    settings = Settings(metrics=names, tolerance=tolerance, empty=empty, missing=missing, workers=_workers(workers))
    with bar("scoring", total=1.0) as shown:
        measured = measure(
            predictions, reference, against=others, settings=settings,
            progress=lambda done, of: shown.update(done / of),
        )  # fmt: skip
    summary = summarise(measured, by=columns)
    inputs = {"predictions": predictions, "reference": reference}
    inputs |= {f"against {number}": other for number, other in enumerate(others, start=1)}
    per_case = summary.pop("metric_per_case")
    with claim.folder() as folder:
        write_scores(folder / "scores.csv", measured, by=columns)
        write_patients(folder / "patients.csv", measured)
        names_here = Names(folder)
        told = without_paths(summary, names_here) | {"metric_per_case": [_named(case, names_here) for case in per_case]}
        names_here.keep()
        (folder / "summary.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        write_provenance(folder, inputs=inputs, seed=SEED)
    for table in tables(summary):
        show_table(table.head, table.rows, title=table.title, keys=table.keys)
    for sentence in [*summary["notes"], *summary["reading"], *summary["limits"]]:
        say(sentence)
    say(f"scores of {counted(summary['cases'], 'case')} in {out}")
    return {"scores": str(out), **summary}


def _named(case: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The files of a case by names that tell no path."""
    return {**case, **{key: written(case[key], names) for key in ("reference_file", "prediction_file")}}


def parse_metrics(text: str) -> tuple[tuple[str, ...], float | None]:
    """The scores of `--metrics`, and the tolerance of `nsd:2`.

    Raises:
        UsageError: a score that does not exist, or a tolerance that is no distance.
    """
    names, tolerance = list[str](), None
    for word in (part.strip() for part in text.split(",")):
        name, colon, number = word.partition(":")
        if name not in METRICS or (colon and name != "nsd"):
            raise UsageError(f"--metrics {text}: there is no '{word}'", expected=", ".join((*METRICS, "nsd:2")))
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


def _workers(workers: int | None) -> int | None:
    if workers is not None and workers < 1:
        raise UsageError(f"--workers {workers}", expected="at least one")
    return workers
