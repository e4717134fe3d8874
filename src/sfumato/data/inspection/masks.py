"""What is wrong with the masks of a set, or worth knowing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sfumato.data.facts import CaseFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.inspection.finding import Finding, Severity, volume_files
from sfumato.data.inspection.meaning import INVERTED, LabelMapping, MeasuredMask, agreements_of, masks_of
from sfumato.data.placement import is_of_one_shape
from sfumato.data.source import DiscoveredDataset
from sfumato.wording import counted

_GREY, _WHITE = 128, 255
"""Where soft masks are cut, and what their objects are where they are sharp."""

_SAME = 0.995
"""Dice from which on readers draw the same, as people never do."""

_APART = 0.1
"""Mean Dice up to which masks are hardly of readers who drew the same."""

VALUES = 8
"""Unexpected values that are named."""


def find_in_masks(found: DiscoveredDataset, facts: Sequence[CaseFacts], meaning: LabelMapping) -> Iterator[Finding]:
    """What is wrong with the masks, or worth knowing."""
    masks = masks_of(found, facts)
    if not masks:
        return
    if meaning.finding is not None:
        yield meaning.finding
    elif meaning.rule is not None:
        yield Finding(code="", severity="note", text=meaning.rule.text)
    yield from _strange(masks, meaning)
    yield from _blurred(masks, meaning)
    yield from _misfits(facts, masks)
    yield from _copied(masks)
    if meaning.rule is not None:
        yield from _inverted(masks, meaning)
        yield from _empty(masks, meaning)
    yield from _readers(facts, meaning)


def _files(masks: Iterable[MeasuredMask]) -> tuple[str, ...]:
    return tuple(mask.locator for mask in masks)


def _readers(facts: Sequence[CaseFacts], meaning: LabelMapping) -> Iterator[Finding]:
    agreements = agreements_of(facts, meaning)
    if not agreements:
        return
    dice = sum(agreement.dice for agreement in agreements) / len(agreements)
    partly = sum(agreement.is_partly_empty for agreement in agreements)
    turned = ", inverted masks put right" if meaning.inverted else ""
    severity: Severity = "warning"
    if dice < _APART:
        fix = "are these parts of one mask (--join-masks), or a class each (--classes-by folder or suffix)?"
    elif dice > _SAME:
        fix = "are these copies of one mask? If so, name those that are meant with --masks and {id}"
    else:
        severity = "note"
        fix = (
            "nothing to do: train on all readers, so that the model shows how far they differ "
            "(process.kind=ssn draws whole readings in one call)"
        )
    yield Finding(
        code="DATA-096",
        severity=severity,
        text=f"readers agree with a mean Dice of {dice:.2f}{turned}; in {partly} of "
        f"{counted(len(agreements), 'image')} some found nothing and others something",
        fix=fix,
    )


def _strange(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Iterator[Finding]:
    """Values that are neither those of a class nor of pixels to be ignored."""
    if not meaning.strange or meaning.rule is None:
        return
    known = {*meaning.rule.values, meaning.rule.ignore}
    pixels = Counter[int]()
    for mask in meaning.strange:
        pixels.update({value: count for value, count in mask.facts.values.items() if value not in known})
    shown = ", ".join(map(str, sorted(pixels)[:VALUES]))
    if len(pixels) > VALUES:
        shown += " ..."
    have = _of(meaning.strange, masks, "has", "have")
    yield Finding(
        code="DATA-075",
        severity="error",
        files=_files(meaning.strange),
        text=f"{have} unexpected values ({shown}) in {counted(pixels.total(), 'pixel')}",
        fix="correct these pixels; --fix-into leaves these cases out",
    )


def _blurred(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Iterator[Finding]:
    lossy = [mask for mask in masks if _is_jpeg(mask)]
    soft = [mask for mask in masks if not _is_jpeg(mask) and _is_soft(mask, meaning)]
    reasons = list[str]()
    if lossy:
        reasons.append(f"{_of(lossy, masks, 'is', 'are')} stored as JPEG, which blurs values")
    if soft:
        reasons.append(f"{_of(soft, masks, 'is', 'are')} resized or smoothed: greys at the edges")
    if reasons:
        yield Finding(
            code="DATA-077",
            severity="warning",
            files=_files((*lossy, *soft)),
            text="; ".join(reasons),
            fix="export the masks again as PNG without smoothing; --fix-into stores the rule's result",
        )


def _is_jpeg(mask: MeasuredMask) -> bool:
    return mask.facts.storage is not None and mask.facts.storage.format == "JPEG"


def _is_soft(mask: MeasuredMask, meaning: LabelMapping) -> bool:
    """Whether a mask has greys between black and white, in a set where these are no classes."""
    if meaning.rule is None or meaning.rule.threshold != _GREY or mask.facts.copies_image:
        return False
    sharp = {0, 1} if (mask.row, mask.reader) in meaning.ones else {0, _WHITE, meaning.rule.ignore}
    return not set(mask.facts.values) <= sharp


def _misfits(facts: Sequence[CaseFacts], masks: Sequence[MeasuredMask]) -> Iterator[Finding]:
    """Masks of another size than their image."""
    turned, others, scaled = list[MeasuredMask](), list[MeasuredMask](), list[bool]()
    for mask in masks:
        image = facts[mask.row].image
        if image is None or mask.facts.size == image.size:
            continue
        if mask.facts.size == image.size[::-1]:
            turned.append(mask)
        else:
            others.append(mask)
            scaled.append(is_of_one_shape(mask.facts.size, image.size))
    if turned:
        yield Finding(
            code="DATA-072",
            severity="error",
            files=_files(turned),
            text=f"masks that fit their image only when turned by 90 degrees: {len(turned)}",
            fix="turn them; where only the image has an EXIF rotation, --fix-into turns the mask alike",
        )
    if others:
        image = facts[others[0].row].image
        assert image is not None
        first = f"the first is {_size(others[0].facts.size)}, its image {_size(image.size)}"
        yield Finding(
            code="DATA-012",
            severity="error",
            files=_files(others),
            text=f"masks of another size than their image: {len(others)}; {first}",
            fix=_way_to_fit(scaled),
        )


def _size(size: tuple[int, int]) -> str:
    """Width x height in pixels."""
    height, width = size
    return f"{width} x {height}"


def _way_to_fit(scaled: Sequence[bool]) -> str:
    """What helps where masks have another size: which are the image at another scale, and which part of it."""
    export = "export them at the size of the image"
    if all(scaled):
        return f"{export}; --fix-into does: they have its shape"
    cut = "cut or padded, and nobody knows at which side"
    if not any(scaled):
        return f"{export}: they have not its shape, and so were {cut}"
    return f"{export}; --fix-into does with those of its shape ({sum(scaled)}); the others were {cut}"


def _copied(masks: Sequence[MeasuredMask]) -> Iterator[Finding]:
    same = _files(mask for mask in masks if mask.facts.copies_image)
    if same:
        yield Finding(
            code="DATA-078",
            severity="error",
            files=same,
            text=f"masks that are the image itself: {len(same)}",
            fix="put the real masks in their place",
        )


def _inverted(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Iterator[Finding]:
    if meaning.inverted:
        inverted = [mask for mask in masks if (mask.row, mask.reader) in meaning.inverted]
        yield Finding(
            code="DATA-076",
            severity="warning",
            files=_files(inverted),
            text=_what_speaks_for_it(inverted, masks, meaning),
            fix="if so, swap object and background; --fix-into does",
        )


def _what_speaks_for_it(inverted: Sequence[MeasuredMask], masks: Sequence[MeasuredMask], meaning: LabelMapping) -> str:
    """That each of them is mostly foreground, or all of them together."""
    areas = [meaning.areas(mask) for mask in inverted]  # put right: what was foreground is background
    if all(foreground > INVERTED * (foreground + rest) for foreground, rest in areas):
        which = "is it inverted?" if len(inverted) == 1 else "are they inverted?"
        return f"{_of(inverted, masks, 'is', 'are')} more than {INVERTED:.0%} foreground: {which}"
    share = sum(foreground for foreground, _ in areas) / sum(map(sum, areas))
    return f"{share:.0%} of the pixels of {_all(inverted)} are foreground: are the masks inverted?"


def _empty(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Iterator[Finding]:
    empty = [mask for mask in masks if not sum(meaning.areas(mask)[1:])]
    if empty:
        cases = counted(len({mask.row for mask in empty}), "case")
        yield Finding(
            code="DATA-084",
            severity="warning" if len(empty) > len(masks) / 2 else "note",
            files=_files(empty),
            text=f"{_of(empty, masks, 'is', 'are')} empty, in {cases}",
            fix="fine where there is nothing to find; else draw them",
        )


def _of(some: Sequence[MeasuredMask], masks: Sequence[MeasuredMask], one: str, many: str) -> str:
    """How many of how many masks, and the verb that fits; of volumes, planes are counted, and told as such."""
    verb = one if len(some) == 1 else many
    return f"{len(some)} of {_all(masks)} {verb}"


def _all(masks: Sequence[MeasuredMask]) -> str:
    """The number of masks; where they are planes of volumes, of planes and of volumes."""
    volumes = volume_files(mask.locator for mask in masks)
    if all(is_volume(Locator.parse(mask.locator).path) for mask in masks):
        return f"{counted(len(masks), 'plane')} of {counted(len(volumes), 'mask')}"
    return counted(len(masks), "mask")
