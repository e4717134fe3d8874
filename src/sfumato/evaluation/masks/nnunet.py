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
    per_case = list[dict[str, Any]]()
    for name, case in arm.cases.items():
        masks = measured.truth.units[name].cases[0].masks
        for reference, scores in zip(masks, case.readings, strict=True):
            entry = {
                "reference_file": reference,
                "prediction_file": arm.predictions.files[name].mask,
                "metrics": {label: _entry(scores, place) for place, label in enumerate(labels)},
            }
            per_case.append(entry)
    mean = {label: _means([case["metrics"][label] for case in per_case]) for label in labels}
    return {"metric_per_case": per_case, "mean": mean, "foreground_mean": _mean_of_labels(list(mean.values()))}


def _labels(measured: Evaluation) -> list[str]:
    """The targets as nnU-Net names them."""
    return [_label(target.classes) for target in measured.manner.targets]


def _label(classes: tuple[int, ...]) -> str:
    """The class index, or the indices of a region in parentheses."""
    if len(classes) > 1:
        return str(classes)
    return str(classes[0])


def _entry(scores: MaskScores, place: int) -> Mapping[str, float | int | None]:
    """The metrics of one case and label, nnU-Net's and ours."""
    entry: dict[str, float | int | None] = dict(_theirs(scores, place))
    for name, values in scores.values.items():
        score = float(values[place])
        entry[name] = score if math.isfinite(score) else None
    return entry


def _theirs(scores: MaskScores, place: int) -> Mapping[str, float | int]:
    tp, fp, fn, tn = (int(counts[place]) for counts in (scores.tp, scores.fp, scores.fn, scores.tn))
    dice, iou = math.nan, math.nan
    if tp + fp + fn > 0:
        dice, iou = 2 * tp / (2 * tp + fp + fn), tp / (tp + fp + fn)
    return {"Dice": dice, "IoU": iou, "TP": tp, "FP": fp, "FN": fn, "TN": tn, "n_pred": tp + fp, "n_ref": tp + fn}


def _means(entries: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each of nnU-Net's metrics over the cases in which it is defined."""
    return {name: _mean([entry[name] for entry in entries]) for name in _COUNTED}


def _mean_of_labels(labels: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The plain mean over the labels."""
    return {name: float(np.mean([means[name] for means in labels])) for name in _COUNTED}


def _mean(values: Sequence[float]) -> float:
    """The mean of what is defined; nan where nothing is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
