"""Scores of every case, with intervals, beside the twin, other models and the readers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfumato.data.manifest import written
from sfumato.evaluation.masks.evaluate import ScoringSettings, evaluate_folder
from sfumato.evaluation.masks.predictions import Missing
from sfumato.evaluation.masks.summary import summarise_evaluation
from sfumato.evaluation.masks.table import SEED
from sfumato.evaluation.masks.write import write_mask_scores, write_patients
from sfumato.experiment.output_folder import claim_output
from sfumato.local import Names, without_paths
from sfumato.metrics.masks import METRICS, Empty
from sfumato.progress import bar
from sfumato.provenance import write_provenance
from sfumato.verbs.bounds import check_workers


@dataclass(frozen=True)
class MaskEvaluation:
    """Scores that were written.

    Attributes:
        folder: scores.csv (a row for each case), patients.csv and summary.json.
        summary: means with intervals, differences, readers, calibration, notes; what summary.json holds, less the
            scores of single cases.
    """

    folder: Path
    summary: Mapping[str, Any]


def evaluate_masks(
    predictions: Path | str,
    reference: Path | str,
    *,
    out: Path | str,
    against: Sequence[Path | str] = (),
    metrics: Sequence[str] = tuple(METRICS),
    tolerance: float | None = None,
    by: Sequence[str] = (),
    empty: Empty = "one",
    missing: Missing = "refuse",
    class_names: Sequence[str] = (),
    workers: int | None = None,
    overwrite: bool = False,
) -> MaskEvaluation:
    """Score masks per case, class and patient, with bootstrap intervals, beside the twin, other models, the readers.

    Args:
        predictions: a folder written by `segment` or by nnU-Net, or any folder of masks.
        reference: the true masks: a dataset, a folder of images and masks, an nnU-Net raw dataset, or masks alone.
        out: the folder to write.
        against: other predictions of the same cases. Their difference is that of the pairs.
        metrics: scores wanted, of `sfumato.metrics.masks.METRICS`. Dice is always among them.
        tolerance: of nsd, in millimetres (or pixels): outlines within it count as equal.
        by: columns of the reference, such as "site": the scores for each of their values too.
        empty: one: both masks empty counts Dice 1; nan: it is left out; nnunet: distances to an empty mask too.
        missing: refuse cases without a prediction; or leave-out: count them; or empty: score them as empty masks.
        class_names: names of the values of the references, such as ("0=ignore", "1=tumour"); what is called ignore
            counts nowhere.
        workers: processes that score; by default all cores, where there is enough to score.
        overwrite: replace a folder that is not empty.

    Raises:
        DataError: masks do not fit one another, or cases are missing.
        UsageError: `out` is not empty, or lies in an input; names that are none, or given to a prepared dataset.
    """
    check_workers(workers)
    predictions, reference, out = Path(predictions), Path(reference), Path(out)
    others = [Path(other) for other in against]
    claim = claim_output(out, overwrite=overwrite, inputs=[predictions, *others], used=[reference])
    settings = ScoringSettings(
        metrics=tuple(metrics),
        tolerance=tolerance,
        empty=empty,
        missing=missing,
        workers=workers,
        class_names=tuple(class_names),
    )
    with bar("scoring", total=1.0) as shown:
        measured = evaluate_folder(
            predictions,
            reference,
            against=others,
            settings=settings,
            progress=lambda done, of: shown.update(done / of),
        )
    summary = summarise_evaluation(measured, by=list(by))
    inputs = {"predictions": predictions, "reference": reference}
    inputs |= {f"against {number}": other for number, other in enumerate(others, start=1)}
    per_case = summary.pop("metric_per_case")
    with claim.folder() as folder:
        write_mask_scores(folder / "scores.csv", measured, by=list(by))
        write_patients(folder / "patients.csv", measured)
        names_here = Names(folder)
        told = without_paths(summary, names_here) | {"metric_per_case": [_named(case, names_here) for case in per_case]}
        names_here.keep()
        (folder / "summary.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        write_provenance(folder, inputs=inputs, seed=SEED)
    return MaskEvaluation(out, summary)


def _named(case: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The files of a case by names that tell no path."""
    return {**case, **{key: written(case[key], names) for key in ("reference_file", "prediction_file")}}
