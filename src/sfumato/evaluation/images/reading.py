"""What the numbers of a comparison of images say, in sentences."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sfumato.evaluation.images.panel import NOTICED, MetricRow
from sfumato.metrics.fidelity import IMAGES_PER_DIMENSION
from sfumato.metrics.table import MATCHED, POOLED
from sfumato.wording import counted

_DISTANCES = ("kid", "frechet")

SEES = {
    "own": "what tells the classes apart",
    "radiomics": "grey values, texture and edges",
    "pixels": "coarse shape and place",
}
"""What a space is about, for a person."""

_FEW = 50
"""Images on each side below which only coarse differences are noticed."""


class FeatureSpace(NamedTuple):
    """A space and how many features it has."""

    space: str
    features: int


class BesideMean(NamedTuple):
    """Generated images beside the mean of the training images in their place, the same for every image.

    Attributes:
        generated: Fréchet distance of the generated images to the real ones, in the space of coarse pixels.
        mean: that of the mean: the spread of the real images, and how far their own mean lies from it.
    """

    generated: float
    mean: float

    @property
    def is_nearer(self) -> bool:
        """Whether the generated images are."""
        return self.generated < self.mean

    @property
    def verdict(self) -> str:
        """Whether they are, in a word or two; none where no real image differs from another."""
        if self.mean == 0 or not math.isfinite(self.generated + self.mean):
            return "no verdict"
        return "nearer than the mean image" if self.is_nearer else "no nearer than the mean image"

    def sentence(self) -> str:
        """That they are not; or that nobody can be, where no real image differs from another."""
        if self.mean == 0:
            return (
                "The training images, or the real ones, do not differ from each other in the space of coarse pixels: "
                "that images are as near to them as they are to each other says nothing."
            )
        return (
            "The images lie no nearer to real ones than the mean of the training images does, the same for every image "
            f"(Fréchet distances {self.generated:.3g} and {self.mean:.3g} in the space of coarse pixels): nothing else "
            "follows from them."
        )


def image_sentences(
    measures: Sequence[MetricRow],
    spaces: Sequence[FeatureSpace],
    *,
    other_shares: bool,
    constant: BesideMean | None = None,
) -> Iterator[str]:
    """Sentences: the verdict on the whole set, on classes, on diversity, and what limits them.

    Of images that are no nearer to real ones than their mean, only this is said, and what tells them from real ones;
    so of any images where real ones never differ.

    Args:
        measures: rows of `metrics.csv`.
        spaces: the spaces of features.
        other_shares: whether classes have other shares in the samples than in the real images.
        constant: the images beside their mean; None where nobody looked.
    """
    groups = list(dict.fromkeys(measure.group for measure in measures))
    whole = MATCHED if MATCHED in groups else POOLED
    learnt = constant is None or constant.is_nearer
    if constant is not None and not learnt:
        yield constant.sentence()
    of_whole = [measure for measure in measures if measure.group == whole]
    never_differ = constant is not None and constant.mean == 0
    if not never_differ or _noticed(of_whole):
        yield _verdict(of_whole, spaces)
    if not learnt:
        return
    if other_shares:
        yield _other_shares(matched=whole == MATCHED)
    yield from _classes(measures, [name for name in groups if name not in (POOLED, MATCHED)])
    yield from _less_diverse(of_whole)
    yield from _training(of_whole)
    yield from _limits(of_whole, spaces)


def _verdict(measures: Sequence[MetricRow], spaces: Sequence[FeatureSpace]) -> str:
    count = measures[0].images
    if not spaces:
        return "None of the spaces could be made of these data: whether the images differ from real ones is not known."
    noticed = _noticed(measures)
    if not noticed:
        those = "any of the spaces" if len(spaces) > 1 else "the space"
        names = ", ".join(space.space for space in spaces)
        return (
            f"Not distinguishable from real images in {those} {names} (n = {count} on each side): no distance lies "
            f"more than {NOTICED:g} standard deviations above that of real images among themselves."
        )
    told = [f"{_named(space)} ({_scores(rows)})" for space, rows in noticed.items()]
    blind = [space.space for space in spaces if space.space not in noticed]
    if blind:
        notice = "notices" if len(blind) == 1 else "notice"
        told.append(f"{', '.join(blind)} {notice} nothing")
    return f"Different from real images in {'; '.join(told)} (n = {count} on each side)."


def _named(space: str) -> str:
    """A space, with what it is about where that is known."""
    return f"{SEES[space]} [{space}]" if space in SEES else space


def _noticed(measures: Sequence[MetricRow]) -> dict[str, list[MetricRow]]:
    """The distances that are too large, by space."""
    found: dict[str, list[MetricRow]] = {}
    for measure in measures:
        if measure.metric in _DISTANCES and measure.noticed:
            found.setdefault(measure.space, []).append(measure)
    return found


def _scores(rows: Sequence[MetricRow]) -> str:
    names = {"kid": "KID", "frechet": "Fréchet"}
    return ", ".join(f"{names[row.metric]} {_z(row)}" for row in rows)


def _z(row: MetricRow) -> str:
    return f"z = {row.z:.1f}" if math.isfinite(row.z) else "above real images, which never vary"


def _other_shares(*, matched: bool) -> str:
    text = "The classes have other shares in the samples than among the real images"
    if matched:
        return f"{text}: this is judged with real images drawn in the samples' shares."
    return f"{text}."


def _classes(measures: Sequence[MetricRow], names: Sequence[str]) -> Iterator[str]:
    told = list[str]()
    for name in names:
        spaces = _noticed([measure for measure in measures if measure.group == name])
        if spaces:
            told.append(f"'{name}' ({', '.join(spaces)})")
    if told:
        yield f"Classes that differ from their real images: {'; '.join(told)}."
    elif len(names) > 1:
        yield f"None of the {len(names)} classes differs noticeably from its real images."


def _less_diverse(measures: Sequence[MetricRow]) -> Iterator[str]:
    """Mode collapse: parts of the real images that are missed, pairs too alike, duplicates."""
    missed: dict[str, list[str]] = {}
    for measure in measures:
        if measure.metric in ("recall", "coverage") and measure.noticed:
            missed.setdefault(measure.space, []).append(measure.metric)
    signs = list[str]()
    if missed:
        told = ", ".join(f"{space} ({' and '.join(metrics)})" for space, metrics in missed.items())
        signs.append(f"they miss a part of the real images in {told}")
    noticed = {row.metric: row for row in measures if row.space == "images" and row.noticed}
    if "ms_ssim" in noticed:
        row = noticed["ms_ssim"]
        signs.append(f"pairs of them are more alike than real ones (MS-SSIM {row.value:.3f} against {row.floor:.3f})")
    if "duplicates" in noticed:
        row = noticed["duplicates"]
        signs.append(f"{row.value:.1%} have a near duplicate among them, of real images {row.floor:.1%}")
    if signs:
        yield f"Less diverse than real images: {'; '.join(signs)}."


def _training(measures: Sequence[MetricRow]) -> Iterator[str]:
    far = [row for row in measures if row.metric == "kid_of_training" and row.noticed]
    if far:
        told = ", ".join(f"{row.space} {_z(row)}" for row in far)
        yield (
            f"The training images themselves differ from the real images compared here ({told}): a part of the "
            "distances is not the model's."
        )


def _limits(measures: Sequence[MetricRow], spaces: Sequence[FeatureSpace]) -> Iterator[str]:
    count = measures[0].images
    if count < _FEW:
        yield f"With {counted(count, 'image')} on each side only coarse differences are noticed."
    biased = [space for space in spaces if count < IMAGES_PER_DIMENSION * space.features]
    if biased:
        told = ", ".join(f"{space.space} ({space.features} features)" for space in biased)
        yield (
            f"Fréchet distances of {count} images in {told} are mostly bias (fewer than {IMAGES_PER_DIMENSION} images "
            "for each feature): read them beside their floor only, and the kernel distance first."
        )
