"""An ensemble beside several readers of one case: as distributions over masks, in size, in what is there at all.

No reference is made of the readers' masks, by vote or otherwise: votes of an even number of readers tie, and whoever
counts ties as background has made the object smaller. Each reader counts by itself.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sfumato.evaluation.masks.references import Target
from sfumato.metrics.ensemble import collective_insight, ged, matched_iou
from sfumato.metrics.reader_calibration import (
    COVERAGE_LEVELS,
    exact_coverage,
    exact_presence_brier,
    presence_brier,
    reader_coverage,
)

_OfTargets = np.ndarray
"""One number for each target, float64."""


class BesideReaders(NamedTuple):
    """Numbers of one model on one case with several readers.

    Attributes:
        numbers: of the case as a whole, by name.
        by_target: arrays with a number for each target, by name; nan where one is undefined.
        probability: of the presence of each target, in [0, 1].
        presence: share of the readers that have each target, in [0, 1].
        marking_readers: number of readers that mark anything.
        marking_members: number of members that mark anything.
    """

    numbers: Mapping[str, float]
    by_target: Mapping[str, _OfTargets]
    probability: _OfTargets
    presence: _OfTargets
    marking_readers: int
    marking_members: int


def score_beside_readers(
    members: np.ndarray,
    readers: np.ndarray,
    *,
    targets: Sequence[Target],
    classes: int,
    pixels: int,
    probability: np.ndarray | None,
) -> BesideReaders:
    """All numbers of one model on one case.

    Args:
        members: class-index masks (members, pixels) where some mask has an object and every reader says something.
        readers: class-index masks (readers, pixels) on the same pixels.
        targets: what is scored by itself.
        classes: number of classes with the background.
        pixels: number of pixels of the image.
        probability: of the classes (classes, n) at the pixels of which every reader says something, where a single
            member has one: it says how probable it is that a target is there at all. None: the members say it.
    """
    drawn, true = (np.stack([_volumes(masks, target) for target in targets]) for masks in (members, readers))
    likely, there = (drawn > 0).mean(axis=1), (true > 0).mean(axis=1)
    if probability is not None:
        likely = np.array([_largest(probability, target) for target in targets])
    by_target = _coverage(drawn, true)
    by_target |= _presence(likely, there, members=len(members) if probability is None else None)
    return BesideReaders(
        numbers=_as_distributions(members, readers, classes=classes, pixels=pixels),
        by_target=by_target,
        probability=likely,
        presence=there,
        marking_readers=int(readers.any(axis=1).sum()),
        marking_members=int(members.any(axis=1).sum()),
    )


def _as_distributions(members: np.ndarray, readers: np.ndarray, *, classes: int, pixels: int) -> dict[str, float]:
    energy = ged(members, readers, classes=classes)
    insight = collective_insight(members, readers, classes=classes, pixels=pixels)
    return {
        "ged_v": energy.v,
        "ged_u": energy.u,
        "ged_v_floor": energy.floor,
        "hm_iou": matched_iou(members, readers, classes=classes),
        "diversity": energy.diversity,
        "d_max": insight.d_max,
        "collective_insight": insight.score,
    }


def _coverage(drawn: np.ndarray, true: np.ndarray) -> dict[str, _OfTargets]:
    """How the readers' volumes lie among the members', each of shape (targets, masks)."""
    found: dict[str, _OfTargets] = {}
    for level in COVERAGE_LEVELS:
        covered = [reader_coverage(ours, theirs, level=level) for ours, theirs in zip(drawn, true, strict=True)]
        exact = exact_coverage(drawn.shape[1], level=level)
        found[f"reader_coverage_{level}"] = np.array(covered)
        found[f"reader_coverage_{level}_exact"] = np.where(np.isfinite(covered), exact, np.nan)
    return found


def _presence(likely: _OfTargets, there: _OfTargets, *, members: int | None) -> dict[str, _OfTargets]:
    """Whether each target is as probable as the readers say."""
    pairs = list(zip(likely.tolist(), there.tolist(), strict=True))
    return {
        "presence_brier": np.array([presence_brier(ours, theirs) for ours, theirs in pairs]),
        "presence_brier_exact": np.array([exact_presence_brier(theirs, members=members) for _, theirs in pairs]),
        "presence_gap": likely - there,
    }


def _volumes(masks: np.ndarray, target: Target) -> np.ndarray:
    """Pixels of a target in each mask."""
    volumes: np.ndarray = np.isin(masks, target.classes).sum(axis=1)
    return volumes


def _largest(probability: np.ndarray, target: Target) -> float:
    """The largest probability of a target at any pixel; 0 without a pixel."""
    of_target = probability[list(target.classes)].sum(axis=0)
    return float(of_target.max(initial=0.0).clip(0, 1))
