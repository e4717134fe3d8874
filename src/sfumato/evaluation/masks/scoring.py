"""One image or volume scored: every model, every reader. Runs in worker processes, which know nothing of the others.

A *reading* is one reader's mask. Each model is scored against each reading by itself; a case counts with the mean of
its readings. Pixels about which a reader says nothing count for no one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sfumato.data.mask import IGNORED, MaskRule
from sfumato.data.units import Unit
from sfumato.errors import DataError
from sfumato.evaluation.masks.files import read_map, read_predicted, read_probability, read_readers
from sfumato.evaluation.masks.predictions import PredictedFiles
from sfumato.evaluation.masks.references import Target
from sfumato.metrics.calibration import Reliability, calibration, foreground_band, pooled, reliability
from sfumato.metrics.classification import area_under_roc
from sfumato.metrics.ensemble import Among, among_readers, collective_insight, ged, matched_iou
from sfumato.metrics.masks import Empty, MaskScores, score_masks
from sfumato.metrics.selective import average_precision

_Numbers = Mapping[str, float]
"""Numbers of a whole case by name; nan where one is undefined."""


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How everything is scored.

    Attributes:
        rule: what stored values of references mean.
        rules: what those of each model mean.
        targets: what is scored by itself.
        regions: whether the targets are unions of classes.
        metrics: the scores wanted, see `sfumato.metrics.masks.METRICS`.
        tolerance: of the NSD, in mm or pixels.
        empty: what counts where a mask is empty.
    """

    rule: MaskRule
    rules: tuple[MaskRule, ...]
    targets: tuple[Target, ...]
    regions: bool
    metrics: tuple[str, ...]
    tolerance: float
    empty: Empty


class ScoringItem(NamedTuple):
    """What is to be scored of one image or volume.

    Attributes:
        unit: with its references.
        spacing: millimetres along each axis; None counts in pixels.
        arms: the files of each model.
    """

    unit: Unit
    spacing: tuple[float, ...] | None
    arms: tuple[PredictedFiles, ...]


class CaseScores(NamedTuple):
    """The scores of one model on one case.

    Attributes:
        readings: against each reader; arrays hold a number for each target.
        numbers: of calibration, of uncertainty and of the ensemble.
        everywhere: confidence and correctness of all pixels, where probabilities are known.
        band: the same of the foreground band.
        members: masks of the ensemble; 1 where there is only the mask itself.
    """

    readings: tuple[MaskScores, ...]
    numbers: _Numbers
    everywhere: Reliability | None
    band: Reliability | None
    members: int


class UnitScores(NamedTuple):
    """All scores of one case: of each model, and of the readers among themselves where there are several."""

    arms: tuple[CaseScores, ...]
    readers: Among | None


class _Readings(NamedTuple):
    """The readers' masks of a case.

    Attributes:
        masks: class indices (readers, *space), 0 where a reader says nothing.
        said: where a reader says something.
        classes: number of classes with the background.
    """

    masks: np.ndarray
    said: np.ndarray
    classes: int


def score_unit(manner: Manner, piece: ScoringItem) -> UnitScores | DataError:
    """Score one case; a fault of its files comes back instead of being raised, so that all are told together."""
    try:
        drawn = read_readers(piece.unit, manner.rule)
        readings = _Readings(np.where(drawn == IGNORED, 0, drawn), drawn != IGNORED, manner.rule.classes)
        pairs = zip(manner.rules, piece.arms, strict=True)
        arms = [_score_arm(manner, rule, piece, files, readings) for rule, files in pairs]
    except DataError as problem:
        return problem
    several = _where_any(readings, ())[1] if len(drawn) > 1 else None
    return UnitScores(tuple(arms), None if several is None else among_readers(several, classes=readings.classes))


def _score_arm(
    manner: Manner, rule: MaskRule, piece: ScoringItem, files: PredictedFiles, readings: _Readings
) -> CaseScores:
    shape = readings.masks.shape[1:]
    mask = read_predicted(files.mask, piece.unit, rule) if files.mask else np.zeros(shape, np.uint8)
    scored = tuple(
        _score_reading(manner, piece, mask, truth, said)
        for truth, said in zip(readings.masks, readings.said, strict=True)
    )
    probability = read_probability(files.probability, piece.unit) if files.probability else None
    if probability is not None and len(probability) != readings.classes:
        raise DataError(
            f"{piece.unit.id}: probabilities of {len(probability)} classes",
            expected=f"{readings.classes} classes",
            remedy="give the reference that the model was trained for",
            code="SCORE-007",
        )
    numbers: dict[str, float] = {}
    if probability is not None:
        numbers |= _calibration(probability, readings)
    if files.uncertainty:
        numbers |= _pointing(read_map(files.uncertainty, piece.unit), mask, readings)
    members = [read_predicted(member, piece.unit, rule) for member in files.members] or [mask]
    if len(readings.masks) > 1:
        numbers |= _beside_readers(np.stack(members), readings)
    bins = None if probability is None else _reliability(probability, readings)
    return CaseScores(scored, numbers, *(bins or (None, None)), members=len(members))


def _score_reading(
    manner: Manner, piece: ScoringItem, mask: np.ndarray, truth: np.ndarray, said: np.ndarray
) -> MaskScores:
    """The scores of every target against one reader."""

    def score(prediction: np.ndarray, reference: np.ndarray, classes: int) -> MaskScores:
        return score_masks(
            prediction,
            reference,
            classes=classes,
            spacing=piece.spacing,
            tolerance=manner.tolerance,
            metrics=manner.metrics,
            empty=manner.empty,
            where=None if said.all() else said,
            case=piece.unit.id,
        )

    if not manner.regions:
        return score(mask, truth, manner.rule.classes)
    inside = [[np.isin(side, target.classes).astype(np.uint8) for side in (mask, truth)] for target in manner.targets]
    return _joined([score(prediction, reference, 2) for prediction, reference in inside])


def _joined(parts: Sequence[MaskScores]) -> MaskScores:
    """The scores of regions, which were scored one by one."""
    flags = [name for name in MaskScores._fields if name not in ("values", "pixels")]
    return MaskScores(
        values={name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values},
        pixels=parts[0].pixels,
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in flags},
    )


def _calibration(probability: np.ndarray, readings: _Readings) -> _Numbers:
    """The mean over the readers."""
    each = [
        calibration(probability, truth, where=said)._asdict()
        for truth, said in zip(readings.masks, readings.said, strict=True)
    ]
    return {name: _mean([of_reader[name] for of_reader in each]) for name in each[0]}


def _reliability(probability: np.ndarray, readings: _Readings) -> tuple[Reliability, Reliability]:
    """All pixels, and those of the foreground band, of all readers together."""
    pairs = list(zip(readings.masks, readings.said, strict=True))
    everywhere = [reliability(probability, truth, where=said) for truth, said in pairs]
    near = [reliability(probability, truth, where=foreground_band(probability, truth) & said) for truth, said in pairs]
    return pooled(everywhere), pooled(near)


def _pointing(uncertainty: np.ndarray, mask: np.ndarray, readings: _Readings) -> _Numbers:
    """Whether uncertain pixels are the wrong ones: the mean over the readers."""
    pairs = list(zip(readings.masks, readings.said, strict=True))
    scored = [(uncertainty[said].astype(np.float64), (mask != truth)[said]) for truth, said in pairs]
    return {
        "error_auroc": _mean([area_under_roc(*pair) for pair in scored]),
        "error_aupr": _mean([average_precision(*pair) for pair in scored]),
    }


def _beside_readers(members: np.ndarray, readings: _Readings) -> _Numbers:
    """The ensemble and the readers as distributions; without an ensemble the mask is its only member."""
    drawn, true = _where_any(readings, members)
    energy = ged(drawn, true, classes=readings.classes)
    insight = collective_insight(drawn, true, classes=readings.classes, pixels=members[0].size)
    return {
        "ged_v": energy.v,
        "ged_u": energy.u,
        "ged_v_floor": energy.floor,
        "hm_iou": matched_iou(drawn, true, classes=readings.classes),
        "diversity": energy.diversity,
        "d_max": insight.d_max,
        "collective_insight": insight.score,
    }


def _where_any(readings: _Readings, members: np.ndarray | tuple[()]) -> tuple[np.ndarray, np.ndarray]:
    """Members and readers on the pixels that all readers speak of and some mask has an object in: (n, pixels)."""
    said = readings.said.all(axis=0)
    drawn = np.asarray(members, dtype=readings.masks.dtype).reshape(-1, *said.shape)
    where = said & (drawn.any(axis=0) | readings.masks.any(axis=0))
    return drawn[:, where], readings.masks[:, where]


def _mean(values: Sequence[float]) -> float:
    """The mean of the finite ones; nan where there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
