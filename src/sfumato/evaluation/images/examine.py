"""All that is found out about generated images: distances, diversity, copies, in numbers and words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.dataset import Dataset
from sfumato.data.spec import Spec
from sfumato.evaluation.copies import CopyAudit, CopyDetector, audit_copies, closest_pairs
from sfumato.evaluation.images.compare import Compared, Comparison, Tell, compare_images
from sfumato.evaluation.images.panel import MetricRow
from sfumato.evaluation.images.read import ImageSet, RealPart, gathered, of_pack, plain_spec, real_images, sample_images
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, Space, learned_rows
from sfumato.evaluation.images.statistics import Reference, measure_reference, reference_space
from sfumato.evenly import evenly
from sfumato.tasks.task import to_uint8

TRAINING = 2000
"""Training images that are compared with the held-out ones beside the generated images, at most."""

_UNKNOWN = "the reference does not say how many images it is of, nor what was done to them: compare with care"
NO_FLOOR = "a distance to statistics has no floor: only distances of equally many images can be compared"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked.

    Attributes:
        samples: the folder of generated images.
        wishes: spaces of features.
        part: which real images to compare with.
        copies: whether to search for copies.
        seed: of draws and classifier.
        device: where networks compute.
        tell: is told what is done, as it takes its time.
    """

    samples: Path
    wishes: Sequence[FeatureSpaceSpec]
    part: RealPart
    copies: bool
    seed: int
    device: str
    tell: Tell


class RealData:
    """The real images of a person: a data set, its name, and other held-out images, if there are any."""

    def __init__(self, dataset: Dataset, name: str, holdout: Dataset | None, holdout_name: str = "") -> None:
        self.dataset, self.name, self.holdout, self.holdout_name = dataset, name, holdout, holdout_name

    def part(self, part: RealPart) -> ImageSet:
        """The images to compare with."""
        if self.holdout is not None:
            return real_images(self.holdout, "all", name=self.holdout_name)
        return real_images(self.dataset, part, name=self.name)


@dataclass(frozen=True, kw_only=True)
class CopySearch:
    """The search for copies, or why there is none.

    Attributes:
        found: what was found; None without a search.
        pairs: draws the closest pairs.
        why_not: why there was no search.
    """

    found: CopyAudit | None = None
    pairs: Callable[[], np.ndarray] | None = None
    why_not: str = ""

    def reading(self) -> Iterator[str]:
        """In sentences."""
        if self.found is None:
            yield f"Copies were not searched for: {self.why_not}."
        else:
            yield from self.found.reading


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found out.

    Attributes:
        generated: the generated images.
        real: the real images that they were compared with; None where there are only statistics.
        comparison: with them.
        to_reference: distances to statistics.
        spaces: of those distances.
        copies: the search for copies.
        notes: what a reader of the numbers should know.
    """

    generated: ImageSet
    real: ImageSet | None
    comparison: Comparison | None
    to_reference: tuple[MetricRow, ...]
    spaces: tuple[Space, ...]
    copies: CopySearch
    notes: tuple[str, ...]

    @property
    def measures(self) -> tuple[MetricRow, ...]:
        """All rows of `metrics.csv`."""
        if self.comparison is None:
            return self.to_reference
        return (*self.comparison.measures, *self.to_reference)

    def reading(self) -> list[str]:
        """In sentences: the images, the reference, copies."""
        sentences = [] if self.comparison is None else list(self.comparison.reading)
        if self.to_reference:
            row = self.to_reference[0]
            distance = f"{row.value:.4g} ({row.low:.4g} to {row.high:.4g})"
            sentences.append(f"Fréchet distance to the reference in {row.space}: {distance}.")
        return [*sentences, *self.copies.reading()]


def examine(question: Question, real: RealData | None, reference: Reference | None) -> Examination:
    """Compare the images with real ones, with statistics, or with both.

    Raises:
        DataError: there are too few images on a side, or some cannot be brought into the form of the others.
        UsageError: the reference needs weights that are not given.
    """
    spec = _spec(question, real, reference)
    question.tell(f"reading {question.samples.name}")
    generated = sample_images(question.samples, spec)
    comparison = None if real is None else _compared(question, real, generated)
    to_reference = _to_reference(question, reference, generated)
    spaces, notes = ((), generated.notes) if comparison is None else (comparison.spaces, comparison.notes)
    return Examination(
        generated=generated,
        real=None if real is None else real.part(question.part),
        comparison=comparison,
        to_reference=to_reference.measures,
        spaces=(*spaces, *to_reference.spaces),
        copies=_copies(question, real, generated),
        notes=(*notes, *to_reference.notes),
    )


def _spec(question: Question, real: RealData | None, reference: Reference | None) -> Spec:
    """The form in which all images are compared."""
    if real is not None:
        return real.dataset.spec
    if reference is not None and "data" in reference.about:
        return Spec.from_dict(reference.about["data"])
    return plain_spec(question.samples)


def _compared(question: Question, real: RealData, generated: ImageSet) -> Comparison:
    chosen = real.part(question.part)
    ids = {case.id for case in chosen.cases} if real.holdout is None else set()
    learned = [row for row in learned_rows(real.dataset) if real.dataset.cases[row].id not in ids]
    training = of_pack(real.dataset, evenly(learned, TRAINING), f"training part of {real.name}")
    sets = Compared(dataset=real.dataset, real=chosen, generated=generated, training=training)
    return compare_images(sets, question.wishes, tell=question.tell, seed=question.seed, device=question.device)


@dataclass(frozen=True)
class _ToReference:
    """Distances to statistics; see `Examination`."""

    measures: tuple[MetricRow, ...] = ()
    spaces: tuple[Space, ...] = ()
    notes: tuple[str, ...] = ()


def _to_reference(question: Question, reference: Reference | None, generated: ImageSet) -> _ToReference:
    if reference is None:
        return _ToReference()
    space = reference_space(reference, question.wishes, device=question.device)
    question.tell(f"distance to the reference in {space.name}")
    measures = measure_reference(space, reference, generated, seed=question.seed)
    notes = (NO_FLOOR,) if reference.about else (NO_FLOOR, _UNKNOWN)
    return _ToReference(tuple(measures), (space,), notes)


def _copies(question: Question, real: RealData | None, generated: ImageSet) -> CopySearch:
    if not question.copies:
        return CopySearch(why_not="--no-copies")
    if real is None:
        return CopySearch(why_not="statistics of real images do not hold the images")
    if not real.dataset.rows("train"):
        return CopySearch(why_not=f"{real.name} has no training part")
    question.tell("copies")
    detector = CopyDetector.of(real.dataset, holdout=real.holdout, device=question.device)
    shown = np.concatenate(gathered(generated, to_uint8))
    found = audit_copies(detector, shown)
    return CopySearch(found=found, pairs=partial(closest_pairs, detector, shown, found))


def summary(answer: Examination) -> dict[str, Any]:
    """What `summary.json` says besides the rows and where the samples lie."""
    groups = answer.comparison.groups if answer.comparison else ()
    return {
        "generated": len(answer.generated),
        "real": None if answer.real is None else len(answer.real),
        "compared_with": None if answer.real is None else answer.real.what,
        "images_on_each_side": {group.name: group.size for group in groups},
        "spaces": {space.name: space.about() for space in answer.spaces},
        "reading": answer.reading(),
        "notes": list(answer.notes),
        "beside_mean_image": _beside_mean(answer.comparison),
    }


def _beside_mean(comparison: Comparison | None) -> dict[str, Any] | None:
    if comparison is None:
        return None
    found = comparison.constant
    return {"frechet": found.generated, "frechet_of_mean": found.mean, "verdict": found.verdict}
