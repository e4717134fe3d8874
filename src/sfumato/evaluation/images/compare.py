"""The comparison of generated with real images, whole: spaces, groups, measures, sentences."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sfumato.data.pack import Pack
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
from sfumato.evaluation.images.spaces import Space, Wish, make_space, why_not
from sfumato.metrics.diversity import INCEPTION_SPLITS
from sfumato.metrics.fidelity import frechet

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
        pack: the data set whose training images the spaces are fitted to.
        real: the real images to compare with.
        generated: the images in question.
        training: real training images, if they are not among `real`; may be empty.
    """

    pack: Pack
    real: ImageSet
    generated: ImageSet
    training: ImageSet

    def __iter__(self) -> Iterator[ImageSet]:
        """All sets, in the order of `Sets` and `SpaceFeatures`."""
        return iter((self.real, self.generated, self.training))


def compare_images(
    sets: Compared, wishes: Sequence[Wish], *, tell: Tell, seed: int = 0, device: str = "cpu"
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
    notes = [*sets.real.notes, *sets.generated.notes, *planned.notes]
    notes += [why for wish in wishes if (why := why_not(wish, sets.pack))]
    measures, spaces, dimensions = [], [], []
    for wish in wishes:
        if why_not(wish, sets.pack):
            continue
        tell(f"space {wish.kind}")
        space = make_space(wish, sets.pack, device=device, seed=seed)
        sides = SpaceFeatures(*(_features(space, images) for images in sets))
        if not sides.real.shape[1]:
            notes.append(f"all training images are alike in the space {space.name}: left out")
            continue
        if space.name == "own":  # its classifier knows the training images: their features are no measure
            sides = sides._replace(training=sides.training[:0])
        spaces.append(space)
        dimensions.append(FeatureSpace(space.name, sides.real.shape[1]))
        measures += [row for group in planned.groups for row in measure_space(space.name, sides, group, seed=seed)]
        measures += _of_classes(space, sets, planned.groups)
    tell("similarity of pairs, duplicates")
    shown = [torch.cat(gathered(images, thumbs)) for images in (sets.real, sets.generated)]
    measures += measure_images(shown[0], shown[1], planned.groups, seed=seed)
    other_shares = proportions_differ(labels.real, labels.generated)
    constant = _beside_mean(sets)
    sentences = image_sentences(
        measures, dimensions, other_shares=other_shares and any(labels.generated), constant=constant
    )
    return Comparison(tuple(measures), tuple(spaces), planned.groups, tuple(sentences), tuple(notes), seed, constant)


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
    space = make_space(Wish("pixels"), sets.pack, device="cpu", seed=0)
    real, generated = (_features(space, images) for images in (sets.real, sets.generated))
    if not real.shape[1]:
        return BesideMean(0.0, 0.0)
    return BesideMean(frechet(generated, real), frechet(np.zeros_like(generated), real))


def _features(space: Space, images: ImageSet) -> np.ndarray:
    parts = gathered(images, space.features)
    return np.concatenate(parts) if parts else np.empty((0, 1))


def _of_classes(space: Space, sets: Compared, groups: Sequence[Group]) -> Iterator[MetricRow]:
    if space.probabilities is None:
        return
    real, generated = (np.concatenate(gathered(images, space.probabilities)) for images in (sets.real, sets.generated))
    yield from (
        measure_classes(space.name, real, generated, group) for group in groups if group.size >= INCEPTION_SPLITS
    )
