"""Does a set of generated images copy its training images? A verdict against chance, and two numbers beside it.

Of N generated images k score at least the threshold. If they were as new as the n held-out real images, of which j do,
k would be beta-binomial: binomial with the rate of false alarms of `detector`, equation (1),

    chance = P(K >= k),   K ~ BetaBinomial(N, j, n + 1 - j).                                               (1)

Two numbers need no threshold; with the distance d = 1 - score,

    authenticity = share of images x with d(x, r) > d(r, r'),                                              (2)

r the training image that is nearest to x and r' the one nearest to r (Alaa et al., ICML 2022), and

    z = (U - N n / 2) / sqrt(N n (N + n + 1) / 12),                                                        (3)

U the number of pairs of a generated and a held-out image of which the generated one is farther from the training
images (Mann and Whitney; as in C_T of Meehan et al., AISTATS 2020): negative where generated images lie nearer to them
than new real images do.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from sfumato.errors import DataError
from sfumato.evaluation.copies.detector import LEVEL, CopyDetector, CopyVerdict, Pictures, ShareInterval
from sfumato.metrics.copies import Matches

SURE_DISTANCE = 3
"""Standard scores from which distances to the training images are said to differ."""

_SURE = 0.01
"""Probability (1) below which false alarms do not explain the copies that were found."""


class CopyAudit(NamedTuple):
    """What is said about a set of images.

    Attributes:
        verdicts: one for each image.
        matches: what they rest on.
        images: how many.
        copies: how many of them are flagged; None without a threshold.
        share: of flagged images, with its interval; None without a threshold.
        chance: probability that false alarms alone flag so many or more; None without a threshold.
        sources: distinct training cases that flagged images are nearest to.
        patients: distinct patients among them; None where patients are not known.
        authenticity: share of images farther from their nearest training image than that is from its own.
        authenticity_real: the same of held-out real images; nan without any.
        distance_z: rank statistic of the distances to the training set against those of held-out images: negative
            where generated images lie nearer; nan without any.
        reading: all this in sentences, the verdict first.
    """

    verdicts: tuple[CopyVerdict, ...]
    matches: Matches
    images: int
    copies: int | None
    share: ShareInterval | None
    chance: float | None
    sources: int
    patients: int | None
    authenticity: float
    authenticity_real: float
    distance_z: float
    reading: tuple[str, ...]


def audit_copies(detector: CopyDetector, images: Pictures) -> CopyAudit:
    """Compare a whole set of generated images with the training images.

    Args:
        detector: of the data that their model was trained on.
        images: of the dataset's size and channels.

    Raises:
        DataError: there is none, or size or channels differ.
    """
    if not len(images):
        raise DataError("there is no image to compare with the training images")
    matches, held_out = detector.match(images), detector.held_out_matches
    verdicts = tuple(detector.verdicts(matches))
    flagged = [row for row, verdict in zip(matches.nearest.tolist(), verdicts, strict=True) if verdict.copy]
    patients = {detector.dataset.cases[detector.rows[row]].patient for row in flagged} - {None}
    own = _own_scores(detector, np.union1d(matches.nearest, held_out.nearest).tolist())
    found = CopyAudit(
        verdicts=verdicts,
        matches=matches,
        images=len(images),
        copies=None if detector.threshold is None else len(flagged),
        share=None if detector.threshold is None else _share(len(flagged), len(images)),
        chance=_chance(detector, len(flagged), len(images)),
        sources=len(set(flagged)),
        patients=len(patients) or None,
        authenticity=_authenticity(matches, own),
        authenticity_real=_authenticity(held_out, own),
        distance_z=rank_z(1 - matches.score, 1 - held_out.score),
        reading=(),
    )
    return found._replace(reading=tuple(_reading(detector, found)))


def rank_z(ours: Float[np.ndarray, " n"], others: Float[np.ndarray, " m"]) -> float:
    """Equation (3): below 0 where `ours` are smaller; nan if there are none on a side."""
    n, m = len(ours), len(others)
    if not n or not m:
        return math.nan
    larger = stats.rankdata(np.concatenate([ours, others]))[:n].sum() - n * (n + 1) / 2
    return float((larger - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12))


def _own_scores(detector: CopyDetector, rows: Sequence[int]) -> Mapping[int, float]:
    """For each of these training images the score of the one that is nearest to it."""
    if len(detector.references) < 2:
        return dict.fromkeys(rows, -1.0)
    matches = detector.nearest(detector.references[rows], exclude=rows)
    return dict(zip(rows, matches.score.tolist(), strict=True))


def _authenticity(matches: Matches, own: Mapping[int, float]) -> float:
    """Equation (2); nan without an image."""
    if not len(matches.score):
        return math.nan
    own_scores = np.array([own[row] for row in matches.nearest.tolist()])
    return float(np.mean(matches.score < own_scores))


def _share(count: int, total: int) -> ShareInterval:
    """A share and its exact binomial interval (Clopper and Pearson)."""
    interval = stats.binomtest(count, total).proportion_ci(LEVEL, method="exact")
    return ShareInterval(count / total, float(interval.low), float(interval.high))


def _chance(detector: CopyDetector, flagged: int, images: int) -> float | None:
    """Equation (1)."""
    if detector.rate is None:
        return None
    above = round(detector.rate.value * (detector.held_out + 1))
    return float(stats.betabinom.sf(flagged - 1, images, above, detector.held_out + 1 - above))


def _reading(detector: CopyDetector, found: CopyAudit) -> Iterator[str]:
    yield _verdict(detector, found)
    yield f"Threshold: {detector.why}."
    for note in detector.notes:
        yield f"Note: {note}."
    if found.copies is None:  # where held-out images say nothing, neither do distances
        return
    yield _authentic(found)
    if not math.isnan(found.distance_z):
        yield _distances(found.distance_z)


def _verdict(detector: CopyDetector, found: CopyAudit) -> str:
    if found.copies is None or found.share is None or found.chance is None or detector.rate is None:
        return f"No verdict on copies: {detector.why.partition(':')[0]}."
    counted = f"{found.copies} of {found.images} images are flagged as copies of training images"
    interval = f"{found.share.value:.1%}, {LEVEL:.0%} interval {found.share.low:.1%} to {found.share.high:.1%}"
    if not found.copies:
        return f"{counted} ({LEVEL:.0%} interval up to {found.share.high:.1%}); that is no proof that there are none."
    if found.chance >= _SURE:
        return f"{counted} ({interval}), no more than false alarms explain; look at the closest pairs."
    people = f", {found.patients} patients" if found.patients else ""
    return f"{counted} ({interval}), of {found.sources} training cases{people}: too many to be false alarms."


def _authentic(found: CopyAudit) -> str:
    real = "" if math.isnan(found.authenticity_real) else f" (held-out real images: {found.authenticity_real:.0%})"
    return (
        f"{found.authenticity:.0%} of the images lie farther from their nearest training image than that lies from "
        f"its own nearest{real}."
    )


def _distances(z: float) -> str:
    if abs(z) < SURE_DISTANCE:
        return (
            "That generated images lie nearer to the training images than new real ones do, or farther, is not shown "
            f"(z = {z:+.1f}; {SURE_DISTANCE} is asked for)."
        )
    side = "nearer to" if z < 0 else "farther from"
    return f"Generated images lie {side} the training images than new real ones do (z = {z:+.1f})."
