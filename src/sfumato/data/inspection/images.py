"""Images of a set that differ from the others, or hold less than they seem to."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import median

from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.inspection.finding import Finding, most_frequent, volume_files
from sfumato.data.source import Found
from sfumato.wording import counted

FEW_LEVELS = 32
"""8-bit images with no more grey levels than this have lost some, unless they are drawings."""

CLIPPED = 0.25
"""More pixels at 255 than this share: 16-bit values may have been cut off there."""

OTHER_SCALE = 20
"""So many times larger or smaller than usual, the largest number of an image is of another scale."""

_Images = Sequence[tuple[str, ImageFacts]]
"""Locators with what is known of them."""


def find_in_images(found: Found, facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    """Images that differ from the others, or hold less than they seem to."""
    images = [(case.image, fact.image) for case, fact in zip(found.cases, facts, strict=True) if fact.image is not None]
    if not images:
        return
    whole = _by_volume(images)
    yield from _mixed(whole)
    yield from _constant(whole)
    yield from _depth(images)
    yield from _scale(whole)
    yield from _rotated_or_transparent(whole)
    yield from _geometry(whole)


def _by_volume(images: _Images) -> _Images:
    """Images, and of each volume one plane for all, by the name of the volume; colours are looked for in all."""
    coloured = {file for name, image in images if image.coloured for file in volume_files([name])}
    first: dict[str, ImageFacts] = {}
    for name, image in images:
        (file,) = volume_files([name])
        first.setdefault(file, image)
    return [
        (file, image if image.coloured == (file in coloured) else replace(image, coloured=True))
        for file, image in first.items()
    ]


def _mixed(images: _Images) -> Iterator[Finding]:
    sizes = Counter(image.size for _, image in images)
    if len(sizes) > 1:
        (low, high), usual = (min(sizes), max(sizes)), sizes.most_common(1)[0][0]
        ratios = [image.size[1] / image.size[0] for _, image in images]
        shapes = f", width / height {min(ratios):.2f} to {max(ratios):.2f}" if max(ratios) > 1.1 * min(ratios) else ""
        yield Finding(
            code="DATA-086", severity="note", files=tuple(name for name, image in images if image.size != usual),
            text=f"{len(sizes)} sizes (width x height), from {_size(low)} to {_size(high)}{shapes}",
            fix="prepare resizes all to one size; --keep-aspect keeps their shape",
        )  # fmt: skip
    dtypes = Counter(image.dtype for _, image in images)
    if len(dtypes) > 1:
        volumes = all(image.orientation for _, image in images)
        fewer = tuple(name for name, image in images if image.dtype != dtypes.most_common(1)[0][0])
        yield Finding(
            code="DATA-009", severity="warning" if volumes else "error", files=fewer,
            text=f"the images have {len(dtypes)} kinds of numbers: {most_frequent(dtypes)}",
            fix="convert the fewer ones, or scale each by its own percentiles",
        )  # fmt: skip
    coloured = tuple(name for name, image in images if image.coloured)
    if 0 < len(coloured) < len(images):
        yield Finding(
            code="DATA-087", severity="note", files=coloured,
            text=f"{len(coloured)} of {len(images)} images {'is' if len(coloured) == 1 else 'are'} in colour, "
            "the others grey",
            fix="all are stored as RGB; if the colours mean nothing, prepare with --grey",
        )  # fmt: skip


def _constant(images: _Images) -> Iterator[Finding]:
    """Of volumes, only those that are constant as a whole: empty planes are no fault, and extremes are the volume's."""
    plain = tuple(name for name, image in images if image.stats.low == image.stats.high)
    if plain:
        yield Finding(
            code="DATA-085", severity="warning", files=plain,
            text=f"{counted(len(plain), 'image has', 'images have')} one value everywhere",
            fix="take them out of the set: nothing can be learned from them",
        )  # fmt: skip


def _depth(images: _Images) -> Iterator[Finding]:
    """Fewer bits than the files could hold, or signs that bits were lost."""
    deep = [(name, image) for name, image in images if image.dtype == "uint16" and image.levels is not None]
    if deep:
        high = max(image.stats.high for _, image in deep)
        step = min(image.levels.step for _, image in deep if image.levels) or 1
        bits = int(high // step).bit_length()
        if bits <= 12:
            stretched = f", in steps of {step}" if step > 1 else ""
            files = volume_files(name for name, _ in deep)
            yield Finding(
                code="DATA-088", severity="note", files=files,
                text=f"{counted(len(files), '16-bit image holds', '16-bit images hold')} {max(bits, 1)}-bit numbers: "
                f"the largest is {high:g}{stretched}",
                fix="nothing to do: the range is taken from the numbers, not from the file",
            )  # fmt: skip
    bytes_ = [(name, image) for name, image in images if image.levels and image.dtype == "uint8" and not image.constant]
    poor = tuple(name for name, image in bytes_ if image.levels and 2 < image.levels.distinct <= FEW_LEVELS)
    clipped = tuple(
        name
        for name, image in bytes_
        if image.levels and not image.coloured and image.levels.top > CLIPPED and image.stats.high == 255
    )
    for files, what in ((poor, f"at most {FEW_LEVELS} grey levels"), (clipped, "a quarter of its pixels at 255")):
        if len(files) > len(images) / 2:
            yield Finding(
                code="DATA-088", severity="warning", files=volume_files(files),
                text=f"{counted(len(volume_files(files)), 'image has', 'images have')} {what}: "
                "were 12- or 16-bit images saved as 8 bit?",
                fix="export them again in 16 bit, if the scanner gave more",
            )  # fmt: skip


def _scale(images: _Images) -> Iterator[Finding]:
    """Images whose numbers are of another magnitude."""
    highs = {name: image.stats.high for name, image in images if image.dtype != "uint8"}
    usual = median(highs.values()) if highs else 0.0
    odd = {
        name: high for name, high in highs.items() if usual > 0 and not usual / OTHER_SCALE < high < usual * OTHER_SCALE
    }
    if odd:
        low, high = min(odd.values()), max(odd.values())
        here = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        yield Finding(
            code="DATA-097", severity="warning", files=tuple(odd),
            text=f"{counted(len(odd), 'image has', 'images have')} numbers of another scale: the largest is usually "
            f"{usual:.4g}, here {here}",
            fix="scale each image by its own percentiles, or find out how these were exported",
        )  # fmt: skip


def _rotated_or_transparent(images: _Images) -> Iterator[Finding]:
    turned = tuple(name for name, image in images if image.storage and image.storage.turned > 1)
    if turned:
        yield Finding(
            code="DATA-095", severity="note", files=turned,
            text=f"{counted(len(turned), 'image is', 'images are')} turned by an EXIF entry, which sfumato follows",
            fix="masks must be drawn on the turned image; --fix-into writes it turned",
        )  # fmt: skip
    if clear := tuple(name for name, image in images if image.storage and image.storage.transparent):
        yield Finding(
            code="DATA-094", severity="warning", files=clear,
            text=f"{counted(len(clear), 'image has', 'images have')} transparency: it is laid on black",
            fix="if the background was meant to be white, export them again without transparency",
        )  # fmt: skip


def _geometry(images: _Images) -> Iterator[Finding]:
    """Of volumes: spacing and where their axes lead."""
    spacings = [image.spacing for _, image in images if image.spacing]
    if spacings:
        low, high = min(map(min, spacings)), max(map(max, spacings))
        usual = median(value for pair in spacings for value in pair)
        if high > 1.01 * low:
            yield Finding(
                code="DATA-089", severity="warning" if high > 2 * low else "note",
                text=f"pixels are {low:.3g} to {high:.3g} mm wide, the median is {usual:.3g} mm",
                files=tuple(name for name, image in images if image.spacing and max(image.spacing) > 1.01 * usual),
                fix="prepare at one spacing (--spacing), so that sizes mean the same everywhere",
            )  # fmt: skip
    axes = Counter(image.orientation for _, image in images if image.orientation)
    if len(axes) > 1 or any("~" in name for name in axes):
        usual_axes = axes.most_common(1)[0][0]
        yield Finding(
            code="DATA-090", severity="note",
            text=f"volumes are stored in several directions (volumes of each): {most_frequent(axes)}",
            files=tuple(name for name, image in images if image.orientation not in ("", usual_axes)),
            fix="nothing to do: planes are turned alike; ~ marks oblique volumes, whose planes stay oblique",
        )  # fmt: skip


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
