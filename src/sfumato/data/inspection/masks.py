"""What is wrong with the masks of a set, or worth knowing."""

from collections.abc import Iterator, Sequence

from sfumato.data.facts import CaseFacts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.inspection.finding import Finding, volume_files
from sfumato.data.inspection.meaning import INVERTED, LabelMapping, MeasuredMask, agreements_of, masks_of
from sfumato.data.placement import is_of_one_shape
from sfumato.data.source import Found
from sfumato.wording import counted

_GREY, _WHITE = 128, 255
"""Where soft masks are cut, and what their objects are where they are sharp."""

_SAME = 0.995
"""Dice from which on readers draw the same, as people never do."""

_APART = 0.1
"""Mean Dice up to which masks are hardly of readers who drew the same."""

VALUES = 8
"""Unexpected values that are named."""


def find_in_masks(found: Found, facts: Sequence[CaseFacts], meaning: LabelMapping) -> Iterator[Finding]:
    """What is wrong with the masks, or worth knowing."""
    masks = masks_of(found, facts)
    if not masks:
        return
    if meaning.finding is not None:
        yield meaning.finding
    elif meaning.rule is not None:
        yield Finding(code="", severity="note", text=meaning.rule.text)
    yield from _values(masks, meaning)
    yield from _sizes(facts, masks)
    yield from _copied(masks)
    if meaning.rule is not None:
        yield from _amounts(masks, meaning)
    yield from _readers(facts, meaning)


def _readers(facts: Sequence[CaseFacts], meaning: LabelMapping) -> Iterator[Finding]:
    agreements = agreements_of(facts, meaning)
    if agreements:
        dice = sum(agreement.dice for agreement in agreements) / len(agreements)
        partly = sum(agreement.is_partly_empty for agreement in agreements)
        turned = ", inverted masks put right" if meaning.inverted else ""
        apart, same = dice < _APART, dice > _SAME
        yield Finding(
            code="DATA-096", severity="warning" if apart or same else "note",
            text=f"readers agree with a mean Dice of {dice:.2f}{turned}; in {partly} of "
            f"{counted(len(agreements), 'image')} some found nothing and others something",
            fix="are these parts of one mask (--join-masks), or a class each (--classes-by folder or suffix)?" if apart
            else "are these copies of one mask? If so, name those that are meant with --masks and {id}" if same
            else "nothing to do: train on all readers, so that the model shows how far they differ",
        )  # fmt: skip


def _values(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Iterator[Finding]:
    if meaning.strange and meaning.rule is not None:
        known = {*meaning.rule.values, meaning.rule.ignore}
        values = sorted({value for mask in meaning.strange for value in mask.facts.values} - known)
        pixels = sum(mask.facts.values.get(value, 0) for mask in meaning.strange for value in values)
        shown = ", ".join(map(str, values[:VALUES])) + (" ..." if len(values) > VALUES else "")
        yield Finding(
            code="DATA-075", severity="error", files=tuple(mask.locator for mask in meaning.strange),
            text=f"{_of(meaning.strange, masks, 'has', 'have')} unexpected values ({shown}) in "
            f"{counted(pixels, 'pixel')}",
            fix="correct these pixels; --fix-into leaves these cases out",
        )  # fmt: skip
    lossy = [mask for mask in masks if _is_jpeg(mask)]
    soft = [mask for mask in masks if not _is_jpeg(mask) and _is_soft(mask, meaning)]
    kinds = ((lossy, "stored as JPEG, which blurs values"), (soft, "resized or smoothed: greys at the edges"))
    reasons = [f"{_of(some, masks, 'is', 'are')} {what}" for some, what in kinds if some]
    if reasons:
        yield Finding(
            code="DATA-077", severity="warning", files=tuple(mask.locator for mask in (*lossy, *soft)),
            text="; ".join(reasons),
            fix="export the masks again as PNG without smoothing; --fix-into stores the rule's result",
        )  # fmt: skip


def _is_jpeg(mask: MeasuredMask) -> bool:
    return mask.facts.storage is not None and mask.facts.storage.format == "JPEG"


def _is_soft(mask: MeasuredMask, meaning: LabelMapping) -> bool:
    """Whether a mask has greys between black and white, in a set where these are no classes."""
    if meaning.rule is None or meaning.rule.threshold != _GREY or mask.facts.copies_image:
        return False
    sharp = {0, 1} if (mask.row, mask.reader) in meaning.ones else {0, _WHITE, meaning.rule.ignore}
    return not set(mask.facts.values) <= sharp


def _sizes(facts: Sequence[CaseFacts], masks: Sequence[MeasuredMask]) -> Iterator[Finding]:
    pairs = [(mask, image.size) for mask in masks if (image := facts[mask.row].image) is not None]
    wrong = [(mask, size) for mask, size in pairs if mask.facts.size != size]
    turned = [mask for mask, size in wrong if mask.facts.size == size[::-1]]
    if turned:
        yield Finding(
            code="DATA-072", severity="error", files=tuple(mask.locator for mask in turned),
            text=f"masks that fit their image only when turned by 90 degrees: {len(turned)}",
            fix="turn them; where only the image has an EXIF rotation, --fix-into turns the mask alike",
        )  # fmt: skip
    if others := [(mask, size) for mask, size in wrong if mask not in turned]:
        mask, size = others[0]
        yield Finding(
            code="DATA-012", severity="error", files=tuple(mask.locator for mask, _ in others),
            text=f"masks of another size than their image: {len(others)}; the first is {mask.facts.size[1]} x "
            f"{mask.facts.size[0]}, its image {size[1]} x {size[0]}",
            fix=_way_to_fit([is_of_one_shape(mask.facts.size, size) for mask, size in others]),
        )  # fmt: skip


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
    if same := tuple(mask.locator for mask in masks if mask.facts.copies_image):
        yield Finding(
            code="DATA-078", severity="error", files=same,
            text=f"masks that are the image itself: {len(same)}", fix="put the real masks in their place",
        )  # fmt: skip


def _amounts(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> Iterator[Finding]:
    if meaning.inverted:
        inverted = [mask for mask in masks if (mask.row, mask.reader) in meaning.inverted]
        yield Finding(
            code="DATA-076", severity="warning", files=tuple(mask.locator for mask in inverted),
            text=_inverted(inverted, masks, meaning),
            fix="if so, swap object and background; --fix-into does",
        )  # fmt: skip
    empty = [mask for mask in masks if not sum(meaning.areas(mask)[1:])]
    if empty:
        cases = counted(len({mask.row for mask in empty}), "case")
        yield Finding(
            code="DATA-084", severity="warning" if len(empty) > len(masks) / 2 else "note",
            files=tuple(mask.locator for mask in empty),
            text=f"{_of(empty, masks, 'is', 'are')} empty, in {cases}",
            fix="fine where there is nothing to find; else draw them",
        )  # fmt: skip


def _inverted(inverted: Sequence[MeasuredMask], masks: Sequence[MeasuredMask], meaning: LabelMapping) -> str:
    """What speaks for it: each of them is mostly foreground, or all of them together."""
    areas = [meaning.areas(mask) for mask in inverted]  # put right: what was foreground is background
    if all(foreground > INVERTED * (foreground + rest) for foreground, rest in areas):
        which = "is it inverted?" if len(inverted) == 1 else "are they inverted?"
        return f"{_of(inverted, masks, 'is', 'are')} more than {INVERTED:.0%} foreground: {which}"
    share = sum(foreground for foreground, _ in areas) / sum(map(sum, areas))
    return f"{share:.0%} of the pixels of {_all(inverted)} are foreground: are the masks inverted?"


def _of(some: Sequence[MeasuredMask], masks: Sequence[MeasuredMask], one: str, many: str) -> str:
    """How many of how many masks, and the verb that fits; of volumes, planes are counted, and told as such."""
    return f"{len(some)} of {_all(masks)} {one if len(some) == 1 else many}"


def _all(masks: Sequence[MeasuredMask]) -> str:
    """The number of masks; where they are planes of volumes, of planes and of volumes."""
    volumes = volume_files(mask.locator for mask in masks)
    if all(is_volume(Locator.parse(mask.locator).path) for mask in masks):
        return f"{counted(len(masks), 'plane')} of {counted(len(volumes), 'mask')}"
    return counted(len(masks), "mask")
