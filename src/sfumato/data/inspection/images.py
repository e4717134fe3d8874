"""Images of a set that differ from the others, or hold less than they seem to."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, starmap
from statistics import median
from typing import NamedTuple

from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.inspection.finding import Finding, most_frequent, volume_files
from sfumato.data.source import DiscoveredDataset
from sfumato.wording import counted

FEW_LEVELS = 32
"""8-bit images with no more grey levels than this have lost some, unless they are drawings."""

CLIPPED = 0.25
"""More pixels at 255 than this share: 16-bit values may have been cut off there."""

OTHER_SCALE = 20
"""So many times larger or smaller than usual, the largest number of an image is of another scale."""

_FULL_BITS = 12
"""16-bit images with numbers of no more bits than this are told."""


class _Image(NamedTuple):
    """An image, or a volume, by its locator, and what is known of it."""

    file: str
    facts: ImageFacts


_Images = Sequence[_Image]


def find_in_images(found: DiscoveredDataset, facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Images that differ from the others, or hold less than they seem to."""
    images = [
        _Image(case.image, fact.image) for case, fact in zip(found.cases, facts, strict=True) if fact.image is not None
    ]
    if not images:
        return
    whole = _by_volume(images)
    yield from _sizes(whole)
    yield from _kinds_of_numbers(whole)
    yield from _colours(whole)
    yield from _constant(whole)
    yield from _deep(images)
    yield from _shallow(images)
    yield from _scale(whole)
    yield from _rotated(whole)
    yield from _transparent(whole)
    yield from _spacings(whole)
    yield from _directions(whole)


def _by_volume(images: _Images) -> _Images:
    """Images, and of each volume one plane for all, by the name of the volume; colours are looked for in all."""
    first: dict[str, ImageFacts] = {}
    coloured = set[str]()
    for image in images:
        (file,) = volume_files([image.file])
        first.setdefault(file, image.facts)
        if image.facts.coloured:
            coloured.add(file)
    for file in coloured:
        if not first[file].coloured:
            first[file] = replace(first[file], coloured=True)
    return list(starmap(_Image, first.items()))


def _files(images: Iterable[_Image]) -> tuple[str, ...]:
    return tuple(image.file for image in images)


def _sizes(images: _Images) -> Iterator[Finding]:
    sizes = Counter(image.facts.size for image in images)
    if len(sizes) == 1:
        return
    usual = sizes.most_common(1)[0][0]
    text = f"{len(sizes)} sizes (width x height), from {_size(min(sizes))} to {_size(max(sizes))}"
    ratios = [width / height for height, width in sizes]
    if max(ratios) > 1.1 * min(ratios):
        text += f", width / height {min(ratios):.2f} to {max(ratios):.2f}"
    yield Finding(
        code="DATA-086",
        severity="note",
        files=_files(image for image in images if image.facts.size != usual),
        text=text,
        fix="prepare resizes all to one size (--keep-aspect keeps their shape), unless images keep their own size "
        "or volumes stay whole",
    )


def _kinds_of_numbers(images: _Images) -> Iterator[Finding]:
    dtypes = Counter(image.facts.dtype for image in images)
    if len(dtypes) == 1:
        return
    usual = dtypes.most_common(1)[0][0]
    only_volumes = all(image.facts.orientation for image in images)
    yield Finding(
        code="DATA-009",
        severity="warning" if only_volumes else "error",
        files=_files(image for image in images if image.facts.dtype != usual),
        text=f"the images have {len(dtypes)} kinds of numbers: {most_frequent(dtypes)}",
        fix="convert the fewer ones, or scale each by its own percentiles",
    )


def _colours(images: _Images) -> Iterator[Finding]:
    coloured = _files(image for image in images if image.facts.coloured)
    if 0 < len(coloured) < len(images):
        are = "is" if len(coloured) == 1 else "are"
        yield Finding(
            code="DATA-087",
            severity="note",
            files=coloured,
            text=f"{len(coloured)} of {len(images)} images {are} in colour, the others grey",
            fix="all are stored as RGB; if the colours mean nothing, prepare with --grey",
        )


def _constant(images: _Images) -> Iterator[Finding]:
    """Of volumes, only those that are constant as a whole: empty planes are no fault, and extremes are the volume's."""
    plain = _files(image for image in images if image.facts.stats.low == image.facts.stats.high)
    if plain:
        yield Finding(
            code="DATA-085",
            severity="warning",
            files=plain,
            text=f"{counted(len(plain), 'image has', 'images have')} one value everywhere",
            fix="take them out of the set: nothing can be learned from them",
        )


def _deep(images: _Images) -> Iterator[Finding]:
    """Fewer bits than the files could hold."""
    high, steps, deep = 0.0, list[int](), list[str]()
    for file, facts in images:
        if facts.dtype == "uint16" and facts.levels is not None:
            high = max(high, facts.stats.high)
            steps.append(facts.levels.step)
            deep.append(file)
    if not deep:
        return
    step = min(steps) or 1
    bits = int(high // step).bit_length()
    if bits > _FULL_BITS:
        return
    files = volume_files(deep)
    stretched = f", in steps of {step}" if step > 1 else ""
    yield Finding(
        code="DATA-088",
        severity="note",
        files=files,
        text=f"{counted(len(files), '16-bit image holds', '16-bit images hold')} {max(bits, 1)}-bit numbers: "
        f"the largest is {high:g}{stretched}",
        fix="nothing to do: the range is taken from the numbers, not from the file",
    )


def _shallow(images: _Images) -> Iterator[Finding]:
    """Signs that bits were lost: in most images, few grey levels, or many pixels at the largest number."""
    poor, clipped = list[str](), list[str]()
    for file, facts in images:
        if facts.dtype != "uint8" or facts.levels is None or facts.constant:
            continue
        if 2 < facts.levels.distinct <= FEW_LEVELS:
            poor.append(file)
        if not facts.coloured and facts.levels.top > CLIPPED and facts.stats.high == 255:
            clipped.append(file)
    if len(poor) > len(images) / 2:
        yield _bits_lost(poor, f"at most {FEW_LEVELS} grey levels")
    if len(clipped) > len(images) / 2:
        yield _bits_lost(clipped, "a quarter of its pixels at 255")


def _bits_lost(images: Iterable[str], what: str) -> Finding:
    files = volume_files(images)
    return Finding(
        code="DATA-088",
        severity="warning",
        files=files,
        text=f"{counted(len(files), 'image has', 'images have')} {what}: were 12- or 16-bit images saved as 8 bit?",
        fix="export them again in 16 bit, if the scanner gave more",
    )


def _scale(images: _Images) -> Iterator[Finding]:
    """Images whose numbers are of another magnitude."""
    highs = {file: facts.stats.high for file, facts in images if facts.dtype != "uint8"}
    usual = median(highs.values()) if highs else 0.0
    if usual <= 0:
        return
    odd = {file: high for file, high in highs.items() if not usual / OTHER_SCALE < high < usual * OTHER_SCALE}
    if odd:
        low, high = min(odd.values()), max(odd.values())
        here = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        yield Finding(
            code="DATA-097",
            severity="warning",
            files=tuple(odd),
            text=f"{counted(len(odd), 'image has', 'images have')} numbers of another scale: the largest is usually "
            f"{usual:.4g}, here {here}",
            fix="scale each image by its own percentiles, or find out how these were exported",
        )


def _rotated(images: _Images) -> Iterator[Finding]:
    turned = tuple(file for file, facts in images if facts.storage and facts.storage.turned > 1)
    if turned:
        yield Finding(
            code="DATA-095",
            severity="note",
            files=turned,
            text=f"{counted(len(turned), 'image is', 'images are')} turned by an EXIF entry, which sfumato follows",
            fix="masks must be drawn on the turned image; --fix-into writes it turned",
        )


def _transparent(images: _Images) -> Iterator[Finding]:
    clear = tuple(file for file, facts in images if facts.storage and facts.storage.transparent)
    if clear:
        yield Finding(
            code="DATA-094",
            severity="warning",
            files=clear,
            text=f"{counted(len(clear), 'image has', 'images have')} transparency: it is laid on black",
            fix="if the background was meant to be white, export them again without transparency",
        )


def _spacings(images: _Images) -> Iterator[Finding]:
    """Of volumes: millimetres between pixels."""
    spacings = {file: facts.spacing for file, facts in images if facts.spacing}
    if not spacings:
        return
    steps = list(chain.from_iterable(spacings.values()))
    low, usual, high = min(steps), median(steps), max(steps)
    if high <= 1.01 * low:
        return
    yield Finding(
        code="DATA-089",
        severity="warning" if high > 2 * low else "note",
        text=f"pixels are {low:.3g} to {high:.3g} mm wide, the median is {usual:.3g} mm",
        files=tuple(file for file, spacing in spacings.items() if max(spacing) > 1.01 * usual),
        fix="prepare at one spacing (--spacing), so that sizes mean the same everywhere",
    )


def _directions(images: _Images) -> Iterator[Finding]:
    """Of volumes: where their axes lead."""
    axes = Counter(image.facts.orientation for image in images if image.facts.orientation)
    if len(axes) > 1 or any("~" in name for name in axes):
        usual = axes.most_common(1)[0][0]
        yield Finding(
            code="DATA-090",
            severity="note",
            text=f"volumes are stored in several directions (volumes of each): {most_frequent(axes)}",
            files=_files(image for image in images if image.facts.orientation not in ("", usual)),
            fix="nothing to do: planes are turned alike; ~ marks oblique volumes, whose planes stay oblique",
        )


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
