"""What a person should know about a prepared data set, in sentences."""

from collections import Counter
from collections.abc import Iterator, Sequence

from sfumato.data.copies import Copies, in_several_splits
from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.manifest import Case
from sfumato.data.mask import MaskRule
from sfumato.data.placement import Canvas, spacing_words
from sfumato.data.source.people.classes import alike_but_for_case, told_alike
from sfumato.data.spec import Spec

EMPTY_MASKS = "empty masks: "
"""How the note about them begins."""


def notes_about(
    spec: Spec, cases: Sequence[Case], facts: Sequence[CaseFacts], copies: Copies, *, left_out: int
) -> Iterator[str]:
    """What a person should know about a prepared set.

    Args:
        spec: what a model must know.
        cases: with their splits.
        facts: of the cases, in their order.
        copies: pictures that occur more than once.
        left_out: number of slices without foreground that were left out.
    """
    if spec.mask_rule:
        yield spec.mask_rule.text
    yield spec.intensity.text
    images = [fact.image for fact in facts if fact.image is not None]
    yield from _about_images(spec, images)
    if left_out:
        yield f"slices without foreground that were left out: {left_out}"
    if spec.mask_rule:
        yield from _about_masks(spec, cases, facts)
    for group in alike_but_for_case(case.label for case in cases):
        yield f"{told_alike(group)}; name them alike if they are one"
    yield from _about_copies(cases, copies)
    yield from _about_splits(cases)


def _about_images(spec: Spec, images: Sequence[ImageFacts]) -> Iterator[str]:
    sizes = Counter(image.size for image in images)
    if len(sizes) > 1:
        smallest, largest = min(sizes), max(sizes)
        yield (
            f"images have {len(sizes)} sizes, from {smallest[1]} x {smallest[0]} to {largest[1]} x {largest[0]}: "
            f"{sized_words(spec.canvas)}"
        )
    coloured = 0 if spec.neighbours else sum(image.coloured for image in images)
    if 0 < coloured < len(images) and spec.channels == 3:
        yield f"{coloured} of {len(images)} images have colours: all are stored as RGB (--grey makes all grey)"
    if coloured and spec.channels == 1:
        yield f"{coloured} of {len(images)} images have colours: they were made grey"
    if constant := sum(image.constant for image in images):
        yield f"images with one value everywhere: {constant}"


def sized_words(canvas: Canvas) -> str:
    """What becomes of images of several sizes."""
    if canvas.size is not None:
        return f"resized to {canvas.size[1]} x {canvas.size[0]}, {_manner(canvas)}"
    if canvas.spacing is None:
        return "each keeps its own"
    each = "each volume" if isinstance(canvas.spacing, tuple) else "each"
    return f"{each} is brought to {spacing_words(canvas.spacing)} per {'voxel' if each != 'each' else 'pixel'}"


def _manner(canvas: Canvas) -> str:
    if canvas.spacing is not None:
        return f"at {spacing_words(canvas.spacing)} per pixel, padded or cut around the centre"
    if canvas.crop:
        return "undistorted, cut around the centre"
    return "undistorted, with a margin" if canvas.keep_aspect else "stretched"


def _about_masks(spec: Spec, cases: Sequence[Case], facts: Sequence[CaseFacts]) -> Iterator[str]:
    rule = spec.mask_rule
    assert rule is not None, "the caller checks that there are masks"
    masks = [mask for fact in facts for mask in fact.masks if mask is not None]
    if spec.dimensions == 3:
        yield from _about_empty_volumes(rule, cases, facts)
    elif empty := sum(not rule.shows_object(mask.values) for mask in masks):
        yield f"{EMPTY_MASKS}{empty}"
    pixels: Counter[bool] = Counter()
    for mask in masks:
        for value, count in mask.values.items():
            pixels[rule.shows_object({value: count})] += count
    share = pixels[True] / max(1, pixels.total())
    if share > 0.8:
        yield f"{share:.0%} of all mask pixels are foreground: is the mask inverted?"


def _about_empty_volumes(rule: MaskRule, cases: Sequence[Case], facts: Sequence[CaseFacts]) -> Iterator[str]:
    """Planes without foreground are in every volume; what counts is whether a reader found anything in it."""
    found = Counter[tuple[str | None, int]]()
    for case, fact in zip(cases, facts, strict=True):
        for reader, mask in enumerate(fact.masks):
            found[case.volume, reader] += mask is not None and rule.shows_object(mask.values)
    if empty := sum(not planes for planes in found.values()):
        yield f"{EMPTY_MASKS}{empty} of {len(found)}"


def _about_splits(cases: Sequence[Case]) -> Iterator[str]:
    counts = Counter(case.split for case in cases)
    if lacking := [split for split in ("validation", "test") if not counts[split]]:
        groups = len({case.patient or case.volume or case.id for case in cases})
        yield (
            f"warning: no case is left for {' and '.join(lacking)}: patients ({groups}, or images of nobody known) and "
            "pictures that are nearly the same stay together; without them nothing is measured on cases that are new"
        )


def _about_copies(cases: Sequence[Case], copies: Copies) -> Iterator[str]:
    if copies.exact:
        yield f"pictures that occur more than once: {len(copies.exact)} (in {sum(map(len, copies.exact))} cases)"
    if copies.near:
        count = sum(map(len, copies.near))
        yield f"pictures that are nearly the same: {len(copies.near)} (in {count} cases); each is kept in one split"
    if leaks := len(in_several_splits(cases, [*copies.exact, *copies.near])):
        yield f"warning: pictures that the source has in more than one split: {leaks}; scores will be too good"
