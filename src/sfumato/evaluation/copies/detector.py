"""Finds the nearest training image of an image, and says whether it is a copy of it.

An image is a copy if its score or its lead (`sfumato.metrics.copies`, equations (2) and (3)) reaches a threshold. Real
images that training never saw have scores and leads too; the thresholds are those that a small share of n held-out real
images reaches. They are cut off one by one, in turn the one of the highest score and the one of the highest lead among
those that are left. After j of them, whatever the distribution of scores and leads, the share of false alarms among
further real images is distributed as (Tukey 1947, statistically equivalent blocks)

    rate ~ Beta(j, n + 1 - j).                                                                             (1)

Without held-out images there is no threshold and so no verdict.

Held-out images must not be training images. Those of patients that are in the training split are left out, and so are
those that lie on a training image exactly: public sets have the same picture in several splits.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy import stats

from sfumato.data.dataset import Dataset
from sfumato.data.manifest import Case
from sfumato.errors import DataError
from sfumato.evenly import evenly
from sfumato.metrics.copies import Images, Matches, compared, nearest
from sfumato.wording import counted

FALSE_ALARMS = 0.01
"""Share of new real images that may be called copies."""

_SAME = 0.9999
"""An image with this score is the training image itself; rounding to 8 bits leaves more."""

HELD_OUT = 2000
"""Held-out images at most that the threshold rests on; more make it hardly surer."""

_FEW = 50
"""Held-out images below which a note says how unsure the threshold is."""

BLUNT = 0.999
"""Threshold from which on a note says that only exact copies reach it."""

LEVEL = 0.95
"""Confidence of all intervals."""

_READ = 512
"""Images read from disk at a time."""

Pictures = UInt8[np.ndarray, "n h w c"]
"""Generated images, 0..255."""


class ShareInterval(NamedTuple):
    """A share and its confidence interval."""

    value: float
    low: float
    high: float


class CopyVerdict(NamedTuple):
    """What is said about one image.

    Attributes:
        score: its correlation with its nearest training image: 1 is the image itself.
        nearest: id of that case.
        view: how the image was brought onto it, in words.
        copy: whether it counts as a copy; None without a threshold.
        lead: how much nearer that one is than the next: 1 is as near as can be, 0 no nearer.
    """

    score: float
    nearest: str
    view: str
    copy: bool | None
    lead: float

    @property
    def said(self) -> str:
        """Whether it is one, as a table says it: yes, no, or nothing where no verdict is possible."""
        if self.copy is None:
            return ""
        return "yes" if self.copy else "no"


@dataclass(frozen=True, kw_only=True)
class CopyDetector:
    """Finds the nearest training image of any image, and says whether it is a copy of it.

    Attributes:
        dataset: the prepared data set.
        rows: its real training images, one for each of `references`.
        references: the training images at the size at which images are compared.
        held_out_matches: of the held-out real images that the threshold rests on.
        threshold: scores from here on are copies; None without held-out images.
        lead: leads from here on are copies; infinite where there are too few held-out images for two thresholds.
        rate: share of false alarms, equation (1): its mean and interval.
        why: where the threshold comes from, or why there is none.
        notes: what was left out, and what is not known.
        turns: quarter turns are tried too.
        device: where images are compared.
    """

    dataset: Dataset
    rows: tuple[int, ...]
    references: Images
    held_out_matches: Matches
    threshold: float | None
    lead: float
    rate: ShareInterval | None
    why: str
    notes: tuple[str, ...]
    turns: bool
    device: str

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        *,
        holdout: Dataset | None = None,
        false_alarms: float = FALSE_ALARMS,
        turns: bool = False,
        device: str = "cpu",
    ) -> "CopyDetector":
        """A detector of copies of the training split, its threshold from held-out real images.

        Args:
            dataset: the data that the model was trained on.
            holdout: real images that it was not trained on, all of them; else validation and test split of `dataset`.
            false_alarms: share of new real images that may be called copies, in (0, 1).
            turns: also try quarter turns, for pictures without an upright position.
            device: where to compare.

        Raises:
            DataError: there are no training images, or `holdout` has another size or other channels.
        """
        rows = tuple(dataset.real(dataset.rows("train")))
        if not rows:
            raise DataError(
                "no real image of the data set is in its training split", expected="what the model has seen"
            )
        references = _read(dataset, rows)
        other, candidates, notes = _held_out(dataset, holdout)
        everything = nearest(_read(other, candidates), references, turns=turns, device=device)
        matches, duplicates = _without_duplicates(everything)
        if duplicates:
            notes = (*notes, f"{duplicates} held-out images are also in the training split and were left out")
        cut = _calibrated(matches, false_alarms)
        return cls(
            dataset=dataset,
            rows=rows,
            references=references,
            held_out_matches=matches,
            threshold=cut.score,
            lead=cut.lead,
            rate=cut.rate,
            why=cut.why,
            notes=notes,
            turns=turns,
            device=device,
        )

    @property
    def held_out(self) -> int:
        """Number of held-out real images that the threshold rests on."""
        return len(self.held_out_matches.score)

    def find_copies(self, images: Pictures) -> list[CopyVerdict]:
        """The nearest training image of each image, and whether it is a copy of it.

        Args:
            images: of the dataset's size and channels.

        Raises:
            DataError: size or channels differ.
        """
        return self.verdicts(self.match(images))

    def match(self, images: Pictures) -> Matches:
        """The nearest of `references` of each image; see `find_copies`."""
        expected = (*self.dataset.spec.common_size, self.dataset.spec.channels)
        if images.shape[1:] != expected:
            finding = f"the images have height, width and channels {images.shape[1:]}"
            raise DataError(finding, expected=f"{expected}, as the training images", code="DATA-009")
        parts = [compared(to_float(images[start : start + _READ])) for start in range(0, len(images), _READ)]
        return self.nearest(torch.cat(parts) if parts else self.references[:0])

    def nearest(self, queries: Images, *, exclude: Sequence[int] | None = None) -> Matches:
        """The nearest of `references`, in the poses of this detector."""
        return nearest(queries, self.references, turns=self.turns, device=self.device, exclude=exclude)

    def verdicts(self, matches: Matches) -> list[CopyVerdict]:
        """What matches say."""
        flags: list[bool | None] = [None] * len(matches.score)
        if self.threshold is not None:
            flags = ((matches.score >= self.threshold) | (matches.lead >= self.lead)).tolist()
        verdicts = list[CopyVerdict]()
        for place, flag in enumerate(flags):
            nearest_case = self.dataset.cases[self.rows[matches.nearest[place]]]
            score, lead = float(matches.score[place]), float(matches.lead[place])
            verdicts.append(CopyVerdict(score, nearest_case.id, str(matches.view[place]), flag, lead))
        return verdicts


class _HeldOut(NamedTuple):
    """Real images that were not trained on, and what was left out of them."""

    dataset: Dataset
    rows: Sequence[int]
    notes: tuple[str, ...]


def _held_out(dataset: Dataset, holdout: Dataset | None) -> _HeldOut:
    """Held-out rows of other patients and volumes than the training images.

    Raises:
        DataError: images of `holdout` have another size or other channels.
    """
    other = dataset if holdout is None else holdout
    if (other.spec.common_size, other.spec.channels) != (dataset.spec.common_size, dataset.spec.channels):
        raise DataError(
            f"the held-out images have the size {other.spec.common_size} and {other.spec.channels} channels",
            expected=f"{dataset.spec.common_size} and {dataset.spec.channels}, as the training images",
            remedy="prepare them with the --size of the training images",
            code="DATA-009",
        )
    split = [*dataset.rows("validation"), *dataset.rows("test")]
    every = other.real(split if holdout is None else range(len(other)))
    known = set[tuple[str, str]]()
    for row in dataset.rows("train"):
        known |= _persons(dataset.cases[row])
    rows = [row for row in every if not known & _persons(other.cases[row])]
    return _HeldOut(other, evenly(rows, HELD_OUT), tuple(_left_out(len(every), len(rows), patients=bool(known))))


def _persons(case: Case) -> set[tuple[str, str]]:
    named = (("patient", case.patient), ("volume", case.volume))
    return {(kind, name) for kind, name in named if name}


def _left_out(every: int, rows: int, *, patients: bool) -> Iterator[str]:
    if every > rows:
        yield f"{every - rows} held-out images show patients of the training split and were left out"
    if rows > HELD_OUT:
        yield f"{HELD_OUT} of {rows} held-out images were used"
    if rows and not patients:
        yield "no patients are known: images of one patient in both splits would make the threshold too high"


def _without_duplicates(matches: Matches) -> tuple[Matches, int]:
    """The held-out images that are no training images, and how many are."""
    new = matches.score < _SAME
    views = tuple(view for view, kept in zip(matches.view, new, strict=True) if kept)
    return Matches(matches.score[new], matches.nearest[new], views, matches.lead[new]), int((~new).sum())


class _Calibrated(NamedTuple):
    """Thresholds, and what they rest on; see `CopyDetector`."""

    score: float | None
    lead: float
    rate: ShareInterval | None
    why: str


def _calibrated(held_out: Matches, false_alarms: float) -> _Calibrated:
    """Thresholds that this share of held-out images reaches; one image where they are too few for the share."""
    count = len(held_out.score)
    if not count:
        why = "no held-out real images: nothing says how alike different patients are"
        return _Calibrated(None, math.inf, None, why)
    above = max(1, int(false_alarms * (count + 1)))
    score, lead = _cut(held_out.score, held_out.lead, above)
    above = int(((held_out.score >= score) | (held_out.lead >= lead)).sum())  # more than were cut off, where some tie
    if above > count / 2:
        why = f"held-out real images cannot be told apart: {above} of {count} correlate alike with a training image"
        return _Calibrated(None, math.inf, None, why)
    low, high = stats.beta(above, count + 1 - above).interval(LEVEL)
    rate = ShareInterval(above / (count + 1), float(low), float(high))
    return _Calibrated(score, lead, rate, _why(score, lead, rate, above=above, count=count))


def _why(score: float, lead: float, rate: ShareInterval, *, above: int, count: int) -> str:
    """What thresholds rest on: `above` of `count` held-out images reach them."""
    verb = "correlates" if above == 1 else "correlate"
    also = "" if math.isinf(lead) else f" or are {lead:.0%} nearer to it than to the next"
    why = (
        f"{above} of {counted(count, 'held-out real image')} {verb} with a training image to {score:.4f}{also}: "
        f"{rate.value:.1%} false alarms to expect, {LEVEL:.0%} interval {rate.low:.1%} to {rate.high:.1%}"
    )
    if count < _FEW:
        why += f"; {counted(count, 'held-out image is', 'held-out images are')} few, and the threshold is unsure"
    if score >= BLUNT:
        why += "; some held-out images are nearly training images, so that only exact copies reach it"
    return why


def _cut(scores: Float[np.ndarray, " n"], leads: Float[np.ndarray, " n"], above: int) -> tuple[float, float]:
    """Score and lead of the last images that were cut off, in turn by the one and by the other."""
    left = np.ones(len(scores), bool)
    score, lead = math.inf, math.inf
    for step in range(above):
        by_score = step % 2 == 0
        values = np.where(left, scores if by_score else leads, -math.inf)
        highest = int(values.argmax())
        left[highest] = False
        if by_score:
            score = float(values[highest])
        else:
            lead = float(values[highest])
    return score, lead


def _read(dataset: Dataset, rows: Sequence[int]) -> Images:
    """Images at the size at which they are compared, some at a time."""
    if not rows:
        return compared(torch.empty(0, dataset.spec.channels, *dataset.spec.common_size))
    return torch.cat([compared(dataset.images(rows[start : start + _READ])) for start in range(0, len(rows), _READ)])


def to_float(images: Pictures) -> Images:
    """Pictures to [-1, 1], channels first."""
    return torch.from_numpy(images).movedim(-1, 1).float() / 127.5 - 1
