"""All arms of an audit on the same cases, in the model's own size: a row of numbers for each case and arm."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.mask import IGNORED
from sfumato.evaluation.audit.arms import SamplingArm
from sfumato.experiment.fewest_steps import ensembles
from sfumato.metrics.calibration import Probability, band, brier, ece, nll, reliability
from sfumato.metrics.classification import area_under_roc
from sfumato.metrics.ensemble import Members, Readers, ged, matched_iou, mean_probability, predictive_entropy
from sfumato.tasks.readers import reader_dice, readers_of

_BORDER = 3
"""Width in pixels of the border around the foreground in the foreground band."""


class AuditCase(NamedTuple):
    """The numbers of one case in one arm; nan where one is not defined.

    Attributes:
        dice: of the ensemble's mask, mean over readers and classes.
        ged_u: generalised energy distance to the readers, unbiased; of two members and two readers or more.
        hm_iou: matched IoU with the readers, likewise.
        nll: of the mean probability, mean over readers.
        brier: likewise.
        ece_foreground: calibration error in the foreground band, likewise.
        error_auroc: of the entropy of a pixel against its being wrong, within the band.
        seconds: that the case took.
    """

    dice: float
    ged_u: float
    hm_iou: float
    nll: float
    brier: float
    ece_foreground: float
    error_auroc: float
    seconds: float


def measure_arms(
    arms: Sequence[SamplingArm],
    dataset: Dataset,
    rows: Sequence[int],
    *,
    batch: int,
    seed: int,
    progress: Callable[[int, str], object] = lambda *_: None,
) -> Mapping[str, list[AuditCase]]:
    """The numbers of each case, by the name of the arm.

    Args:
        arms: of one audit.
        dataset: the dataset, at the models' size.
        rows: two cases of it or more, as one is shown the state of another.
        batch: masks drawn at once; up to twice as many, where the last batch would hold a single case.
        seed: decides the noise, which is the same in all arms.
        progress: told how many cases of all arms are done, and of which arm.
    """
    table: dict[str, list[AuditCase]] = {}
    for number, arm in enumerate(arms):
        drawn = _draw(arm, dataset, rows, batch=batch, seed=seed)
        table[arm.name] = []
        for row, (members, seconds) in zip(rows, drawn, strict=True):
            table[arm.name].append(score(members, readers_of(dataset, row), seconds=seconds))
            progress(number * len(rows) + len(table[arm.name]), arm.name)
    return table


def _draw(
    arm: SamplingArm, dataset: Dataset, rows: Sequence[int], *, batch: int, seed: int
) -> Iterator[tuple[Members, float]]:
    """The ensemble of each case, and the seconds that it took."""
    parts = max(1, len(rows) // max(2, batch // arm.members))
    for part in np.array_split(np.array(rows), parts):
        around = arm.around([dataset.cases[row].id for row in part], seed)
        since = time.perf_counter()
        drawn = list(
            ensembles(
                arm.model,
                arm.sampler,
                dataset,
                part.tolist(),
                members=arm.members,
                batch=len(part) * arm.members,
                seed=seed,
                start=arm.start,
                tta=arm.tta,
                around=around,
            )
        )
        seconds = (time.perf_counter() - since) / len(part)
        yield from ((members, seconds) for members in drawn)


def score(members: Members, readers: Readers, *, seconds: float = math.nan) -> AuditCase:
    """All numbers of one case; pixels that a reader says nothing about are left out."""
    said, probability, classes = (readers != IGNORED).all(axis=0), mean_probability(members), members.shape[1]
    outlined = readers * said
    distances = len(members) > 1 and len(readers) > 1
    drawn = members.argmax(axis=1) * said
    doubts = [_doubts(probability, reader, said) for reader in outlined]
    nlls, briers, eces, aurocs = np.array(doubts).T
    return AuditCase(
        dice=reader_dice(probability.argmax(axis=0), readers, classes),
        ged_u=ged(drawn, outlined, classes=classes).u if distances else math.nan,
        hm_iou=matched_iou(drawn, outlined, classes=classes) if distances else math.nan,
        nll=float(nlls.mean()),
        brier=float(briers.mean()),
        ece_foreground=mean(eces),
        error_auroc=mean(aurocs),
        seconds=seconds,
    )


def _doubts(probability: Probability, reader: np.ndarray, said: np.ndarray) -> tuple[float, float, float, float]:
    """NLL, Brier score, and within the foreground band calibration error and AUROC, against one reader."""
    mask = probability.argmax(axis=0)
    near = band(((mask > 0) | (reader > 0)) & said, width=_BORDER) & said
    return (
        nll(probability[:, said], reader[said]),
        brier(probability[:, said], reader[said]),
        ece(reliability(probability, reader, where=near)),
        area_under_roc(predictive_entropy(probability)[near], (mask != reader)[near]),
    )


def mean(values: np.ndarray) -> float:
    """Mean of what is defined; nan where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
