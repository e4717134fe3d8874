"""One image or volume scored: every model, every reader. Runs in worker processes, which know nothing of the others.

A *reading* is one reader's mask. Each model is scored against each reading by itself; a case counts with the mean of
its readings. Pixels about which a reader says nothing count for no one.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from sfumato.data.mask import IGNORED, MaskRule
from sfumato.data.units import Unit
from sfumato.errors import DataError
from sfumato.evaluation.masks.beside_readers import BesideReaders, score_beside_readers
from sfumato.evaluation.masks.files import read_map, read_predicted, read_probability, read_readers
from sfumato.evaluation.masks.predictions import PredictedFiles
from sfumato.evaluation.masks.references import Target
from sfumato.metrics.calibration import Reliability, calibration, foreground_band, pooled, reliability
from sfumato.metrics.classification import area_under_roc
from sfumato.metrics.ensemble import Among, among_readers
from sfumato.metrics.masks import Empty, MaskScores, score_masks
from sfumato.metrics.selective import average_precision

_Numbers = Mapping[str, float]
"""Numbers of a whole case by name; nan where one is undefined."""


@dataclass(frozen=True, kw_only=True)
class ScoringProtocol:
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
        numbers: of the case as a whole: of calibration, of uncertainty and of the ensemble beside the readers.
        everywhere: confidence and correctness of all pixels, where probabilities are known.
        band: the same of the foreground band.
        members: masks of the ensemble; 1 where there is only the mask itself.
        beside: the ensemble beside the readers; None where there is one reader.
    """

    readings: tuple[MaskScores, ...]
    numbers: _Numbers
    everywhere: Reliability | None
    band: Reliability | None
    members: int
    beside: BesideReaders | None = None

    @property
    def by_target(self) -> Mapping[str, np.ndarray]:
        """Numbers of each target that are not scores of a mask against one reader, by name."""
        return {} if self.beside is None else self.beside.by_target


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

    def each(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The mask of each reader, and where that one says something."""
        return zip(self.masks, self.said, strict=True)


def score_unit(manner: ScoringProtocol, item: ScoringItem) -> UnitScores | DataError:
    """Score one case; a fault of its files comes back instead of being raised, so that all are told together."""
    try:
        readings = _readings(item.unit, manner.rule)
        arms = list[CaseScores]()
        for rule, files in zip(manner.rules, item.arms, strict=True):
            arms.append(_score_arm(manner, rule, item, files, readings))
    except DataError as problem:
        return problem
    return UnitScores(tuple(arms), _among(readings))


def _readings(unit: Unit, rule: MaskRule) -> _Readings:
    drawn = read_readers(unit, rule)
    said = drawn != IGNORED
    return _Readings(np.where(said, drawn, 0), said, rule.classes)


def _among(readings: _Readings) -> Among | None:
    """The readers among themselves; None where there is only one."""
    if len(readings.masks) == 1:
        return None
    _, several = _where_any(readings, ())
    return among_readers(several, classes=readings.classes)


def _score_arm(
    manner: ScoringProtocol, rule: MaskRule, item: ScoringItem, files: PredictedFiles, readings: _Readings
) -> CaseScores:
    """The scores of one model: of its mask, and of what else it has predicted."""
    mask = _predicted_mask(files, item.unit, rule, readings)
    scored = tuple(_score_reading(manner, item, mask, truth, said) for truth, said in readings.each())
    numbers: dict[str, float] = {}
    everywhere, band, probability = None, None, None
    if files.probability:
        probability = _probability(files, item.unit, readings)
        numbers |= _calibration(probability, readings)
        everywhere, band = _reliability_everywhere(probability, readings), _reliability_of_band(probability, readings)
    if files.uncertainty:
        numbers |= _pointing(read_map(files.uncertainty, item.unit), mask, readings)
    members = [read_predicted(member, item.unit, rule) for member in files.members] or [mask]
    beside = None
    if len(readings.masks) > 1:
        beside = _beside_readers(manner, np.stack(members), readings, probability)
        numbers |= beside.numbers
    return CaseScores(scored, numbers, everywhere, band, members=len(members), beside=beside)


def _predicted_mask(files: PredictedFiles, unit: Unit, rule: MaskRule, readings: _Readings) -> np.ndarray:
    """The mask of a model; an empty one where there is none."""
    if not files.mask:
        return np.zeros(readings.masks.shape[1:], np.uint8)
    return read_predicted(files.mask, unit, rule)


def _probability(files: PredictedFiles, unit: Unit, readings: _Readings) -> np.ndarray:
    """The probability of every class, which must be the classes of the readers."""
    probability = read_probability(files.probability, unit)
    if len(probability) != readings.classes:
        raise DataError(
            f"{unit.id}: probabilities of {len(probability)} classes",
            expected=f"{readings.classes} classes",
            remedy="give the reference that the model was trained for",
            code="SCORE-007",
        )
    return probability


def _score_reading(
    manner: ScoringProtocol, item: ScoringItem, mask: np.ndarray, truth: np.ndarray, said: np.ndarray
) -> MaskScores:
    """The scores of every target against one reader."""
    score = partial(
        score_masks,
        spacing=item.spacing,
        tolerance=manner.tolerance,
        metrics=manner.metrics,
        empty=manner.empty,
        where=None if said.all() else said,
        case=item.unit.id,
    )
    if not manner.regions:
        return score(mask, truth, classes=manner.rule.classes)
    parts = [score(_inside(target, mask), _inside(target, truth), classes=2) for target in manner.targets]
    return _joined(parts)


def _inside(target: Target, mask: np.ndarray) -> np.ndarray:
    """A mask of a region alone: 1 where one of its classes is."""
    return np.isin(mask, target.classes).astype(np.uint8)


def _joined(parts: Sequence[MaskScores]) -> MaskScores:
    """The scores of regions, which were scored one by one."""
    joined: dict[str, np.ndarray] = {}
    for name in MaskScores._fields:
        if name not in ("values", "pixels"):
            joined[name] = np.concatenate([getattr(part, name) for part in parts])
    values: dict[str, np.ndarray] = {}
    for name in parts[0].values:
        values[name] = np.concatenate([part.values[name] for part in parts])
    return MaskScores(values=values, pixels=parts[0].pixels, **joined)


def _calibration(probability: np.ndarray, readings: _Readings) -> _Numbers:
    """The mean over the readers."""
    by_reader = [calibration(probability, truth, where=said)._asdict() for truth, said in readings.each()]
    return {name: _mean([of_reader[name] for of_reader in by_reader]) for name in by_reader[0]}


def _reliability_everywhere(probability: np.ndarray, readings: _Readings) -> Reliability:
    """All pixels, of all readers together."""
    return pooled([reliability(probability, truth, where=said) for truth, said in readings.each()])


def _reliability_of_band(probability: np.ndarray, readings: _Readings) -> Reliability:
    """The pixels of the foreground band, of all readers together."""
    by_reader = list[Reliability]()
    for truth, said in readings.each():
        near = foreground_band(probability, truth) & said
        by_reader.append(reliability(probability, truth, where=near))
    return pooled(by_reader)


def _pointing(uncertainty: np.ndarray, mask: np.ndarray, readings: _Readings) -> _Numbers:
    """Whether uncertain pixels are the wrong ones: the mean over the readers."""
    auroc, aupr = list[float](), list[float]()
    for truth, said in readings.each():
        doubt, wrong = uncertainty[said].astype(np.float64), (mask != truth)[said]
        auroc.append(area_under_roc(doubt, wrong))
        aupr.append(average_precision(doubt, wrong))
    return {"error_auroc": _mean(auroc), "error_aupr": _mean(aupr)}


def _beside_readers(
    manner: ScoringProtocol, members: np.ndarray, readings: _Readings, probability: np.ndarray | None
) -> BesideReaders:
    """The ensemble beside the readers; without an ensemble the mask is its only member."""
    drawn, true = _where_any(readings, members)
    single = probability if len(members) == 1 else None
    return score_beside_readers(
        drawn,
        true,
        targets=manner.targets,
        classes=readings.classes,
        pixels=members[0].size,
        probability=None if single is None else single[:, readings.said.all(axis=0)],
    )


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
