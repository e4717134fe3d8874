"""The comparison of generated with real images, whole: spaces, groups, measures, sentences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sfumato.data.dataset import Dataset
from sfumato.errors import DataError
from sfumato.evaluation.images.draws import FEWEST_EACH, Group, Groups, Sets, plan_groups, proportions_differ
from sfumato.evaluation.images.panel import (
    MetricRow,
    SpaceFeatures,
    measure_classes,
    measure_images,
    measure_space,
    thumbs,
)
from sfumato.evaluation.images.read import ImageSet, gathered
from sfumato.evaluation.images.reading import BesideMean, FeatureSpace, image_sentences
from sfumato.evaluation.images.spaces import FeatureSpaceSpec, Space, make_space, why_not
from sfumato.metrics.diversity import INCEPTION_SPLITS
from sfumato.metrics.fidelity import frechet
from sfumato.typing import Data

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Comparison:
    """What is known after a comparison.

    Attributes:
        measures: the rows of `metrics.csv`.
        spaces: the spaces of features.
        groups: what was compared, with how many images.
        reading: sentences.
        notes: what a reader of the numbers should know.
        seed: of draws and classifier.
        constant: the generated images beside one image that never changes.
    """

    measures: tuple[MetricRow, ...]
    spaces: tuple[Space, ...]
    groups: tuple[Group, ...]
    reading: tuple[str, ...]
    notes: tuple[str, ...]
    seed: int
    constant: BesideMean


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The sets of images of a comparison.

    Attributes:
        dataset: the data set whose training images the spaces are fitted to.
        real: the real images to compare with.
        generated: the images in question.
        training: real training images, if they are not among `real`; may be empty.
    """

    dataset: Dataset
    real: ImageSet
    generated: ImageSet
    training: ImageSet

    def __iter__(self) -> Iterator[ImageSet]:
        """All sets, in the order of `Sets` and `SpaceFeatures`."""
        return iter((self.real, self.generated, self.training))


def compare_images(
    sets: Compared, wishes: Sequence[FeatureSpaceSpec], *, tell: Tell, seed: int = 0, device: str = "cpu"
) -> Comparison:
    """Compare generated with real images in every space that was asked for and can be made.

    Args:
        sets: the images.
        wishes: the spaces.
        tell: is told what is done, as it takes its time.
        seed: of draws and classifier.
        device: where networks compute.

    Raises:
        DataError: there are too few images on a side.
    """
    labels = Sets(*(images.labels for images in sets))
    planned = plan_groups(labels, seed=seed)
    _refuse_few(planned)
    left_out = filter(None, [why_not(wish, sets.dataset) for wish in wishes])
    in_spaces = _compare_in_spaces(sets, wishes, planned.groups, tell=tell, seed=seed, device=device)
    tell("similarity of pairs, duplicates")
    of_images = measure_images(_thumbs(sets.real), _thumbs(sets.generated), planned.groups, seed=seed)
    measures = (*in_spaces.measures, *of_images)
    constant = _beside_mean(sets)
    sentences = image_sentences(
        measures,
        in_spaces.dimensions,
        other_shares=any(labels.generated) and proportions_differ(labels.real, labels.generated),
        constant=constant,
    )
    return Comparison(
        measures=measures,
        spaces=tuple(in_spaces.spaces),
        groups=planned.groups,
        reading=tuple(sentences),
        notes=(*sets.real.notes, *sets.generated.notes, *planned.notes, *left_out, *in_spaces.notes),
        seed=seed,
        constant=constant,
    )


@dataclass
class _InSpaces:
    """What is known after the comparison in spaces of features; see `Comparison`."""

    measures: list[MetricRow] = field(default_factory=list)
    spaces: list[Space] = field(default_factory=list)
    dimensions: list[FeatureSpace] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _compare_in_spaces(
    sets: Compared, wishes: Sequence[FeatureSpaceSpec], groups: Sequence[Group], *, tell: Tell, seed: int, device: str
) -> _InSpaces:
    """In every space that can be made, and in which training images differ."""
    found = _InSpaces()
    for wish in wishes:
        if why_not(wish, sets.dataset):
            continue
        tell(f"space {wish.kind}")
        space = make_space(wish, sets.dataset, device=device, seed=seed)
        sides = SpaceFeatures(*(_features(space, images) for images in sets))
        count = sides.real.shape[1]
        if count == 0:
            found.notes.append(f"all training images are alike in the space {space.name}: left out")
            continue
        found.spaces.append(space)
        found.dimensions.append(FeatureSpace(space.name, count))
        found.measures.extend(_in_space(space, sides, groups, seed=seed))
        found.measures.extend(_of_classes(space, sets, groups))
    return found


def _in_space(space: Space, sides: SpaceFeatures, groups: Sequence[Group], *, seed: int) -> Iterator[MetricRow]:
    if space.name == "own":  # its classifier knows the training images: their features are no measure
        sides = sides._replace(training=sides.training[:0])
    for group in groups:
        yield from measure_space(space.name, sides, group, seed=seed)


def _thumbs(images: ImageSet) -> Data:
    return torch.cat(gathered(images, thumbs))


def _refuse_few(planned: Groups) -> None:
    if not planned.groups:
        raise DataError(
            "; ".join(planned.notes),
            expected=f"{2 * FEWEST_EACH} real images and {FEWEST_EACH} generated ones at least",
            remedy="generate more; --real-split all",
            code="SCORE-030",
        )


def _beside_mean(sets: Compared) -> BesideMean:
    """By coarse pixels, whatever the spaces that were asked for."""
    space = make_space(FeatureSpaceSpec("pixels"), sets.dataset, device="cpu", seed=0)
    real, generated = _features(space, sets.real), _features(space, sets.generated)
    if not real.shape[1]:
        return BesideMean(0.0, 0.0)
    return BesideMean(frechet(generated, real), frechet(np.zeros_like(generated), real))


def _features(space: Space, images: ImageSet) -> np.ndarray:
    parts = gathered(images, space.features)
    return np.concatenate(parts) if parts else np.empty((0, 1))


def _of_classes(space: Space, sets: Compared, groups: Sequence[Group]) -> Iterator[MetricRow]:
    if space.probabilities is None:
        return
    real = np.concatenate(gathered(sets.real, space.probabilities))
    generated = np.concatenate(gathered(sets.generated, space.probabilities))
    for group in groups:
        if group.size >= INCEPTION_SPLITS:
            yield measure_classes(space.name, real, generated, group)
