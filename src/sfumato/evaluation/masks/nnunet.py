"""The part of `summary.json` that nnU-Net writes, by nnU-Net's rules, so that what reads its file reads ours.

    metric_per_case   for each case: reference_file, prediction_file, and the metrics of each label
    mean              of each label: the mean over the cases in which the number is defined
    foreground_mean   the plain mean over the labels; NaN as soon as one label occurs nowhere

Here, unlike anywhere else in our scores, Dice and IoU are NaN where neither mask has the label, and JSON holds the word
NaN, as nnU-Net writes it. Several readers give several entries for a case. Our own scores of a case stand beside
nnU-Net's, in small letters.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sfumato.evaluation.masks.evaluate import Evaluation
from sfumato.metrics.masks import MaskScores

_COUNTED = ("Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref")
"""The names of nnU-Net's metrics."""


def nnunet_summary(measured: Evaluation) -> dict[str, Any]:
    """`metric_per_case`, `mean` and `foreground_mean` of the first model."""
    arm = measured.arms[0]
    labels = _labels(measured)
    per_case: list[dict[str, Any]] = [
        {
            "reference_file": measured.truth.units[name].cases[0].masks[reader],
            "prediction_file": arm.predictions.files[name].mask,
            "metrics": {label: _entry(scores, place) for place, label in enumerate(labels)},
        }
        for name, case in arm.cases.items()
        for reader, scores in enumerate(case.readings)
    ]
    mean = {
        label: {name: _mean([case["metrics"][label][name] for case in per_case]) for name in _COUNTED}
        for label in labels
    }
    foreground = {name: float(np.mean([of[name] for of in mean.values()])) for name in _COUNTED}
    return {"metric_per_case": per_case, "mean": mean, "foreground_mean": foreground}


def _labels(measured: Evaluation) -> list[str]:
    """As nnU-Net names them: the class index, or the indices of a region in parentheses."""
    targets = measured.manner.targets
    return [str(target.classes if len(target.classes) > 1 else target.classes[0]) for target in targets]


def _entry(scores: MaskScores, place: int) -> Mapping[str, float | int | None]:
    """The metrics of one case and label."""
    tp, fp, fn, tn = (int(counts[place]) for counts in (scores.tp, scores.fp, scores.fn, scores.tn))
    there = tp + fp + fn > 0
    counted = {
        "Dice": 2 * tp / (2 * tp + fp + fn) if there else math.nan,
        "IoU": tp / (tp + fp + fn) if there else math.nan,
        "TP": tp,
        "FP": fp,
        "FN": fn,
        "TN": tn,
        "n_pred": tp + fp,
        "n_ref": tp + fn,
    }
    ours = {name: float(values[place]) for name, values in scores.values.items()}
    return {**counted, **{name: value if math.isfinite(value) else None for name, value in ours.items()}}


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return float(np.mean(finite)) if finite else math.nan
