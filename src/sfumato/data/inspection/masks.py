"""What is wrong with the masks of a set, or worth knowing."""

from collections.abc import Iterator, Sequence

from sfumato.data.facts import CaseFacts
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.meaning import INVERTED, Mask, Meaning, masks_of
from sfumato.data.source import Found


def find_in_masks(found: Found, facts: Sequence[CaseFacts], meaning: Meaning) -> Iterator[Finding]:
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
    yield from _readers(facts)


def _readers(facts: Sequence[CaseFacts]) -> Iterator[Finding]:
    agreements = [(fact.agreement, len(fact.masks)) for fact in facts if fact.agreement is not None]
    if agreements:
        dice = sum(agreement.dice for agreement, _ in agreements) / len(agreements)
        partly = sum(0 < agreement.empty < readers for agreement, readers in agreements)
        yield Finding(
            code="DATA-096", severity="note",
            text=f"readers agree with a mean Dice of {dice:.2f}; in {partly} of {len(agreements)} images "
            "some found nothing and others something",
            fix="nothing to do: train on all readers, so that the model shows how far they differ",
        )  # fmt: skip


def _values(masks: Sequence[Mask], meaning: Meaning) -> Iterator[Finding]:
    if meaning.strange and meaning.rule is not None:
        known = {*meaning.rule.values, meaning.rule.ignore}
        values = sorted({value for mask in meaning.strange for value in mask.facts.values} - known)
        pixels = sum(mask.facts.values.get(value, 0) for mask in meaning.strange for value in values)
        yield Finding(
            code="DATA-075", severity="error", files=tuple(mask.locator for mask in meaning.strange),
            text=f"{len(meaning.strange)} of {len(masks)} masks have unexpected values "
            f"({', '.join(map(str, values[:8]))}) in {pixels} pixels",
            fix="correct these pixels; --fix-into leaves these cases out",
        )  # fmt: skip
    lossy = tuple(mask.locator for mask in masks if mask.facts.storage and mask.facts.storage.format == "JPEG")
    soft = tuple(mask.locator for mask in masks if meaning.rule and meaning.rule.threshold == 128)
    if files := lossy or soft:
        what = "stored as JPEG, which blurs their values" if lossy else "resized or smoothed: greys at the edges"
        yield Finding(
            code="DATA-077", severity="warning", files=files,
            text=f"{len(files)} of {len(masks)} masks are {what}",
            fix="export the masks again as PNG without smoothing; --fix-into stores the rule's result",
        )  # fmt: skip


def _sizes(facts: Sequence[CaseFacts], masks: Sequence[Mask]) -> Iterator[Finding]:
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
            fix="export them at the size of the image; --fix-into resizes those of the same shape",
        )  # fmt: skip


def _copied(masks: Sequence[Mask]) -> Iterator[Finding]:
    if same := tuple(mask.locator for mask in masks if mask.facts.copies_image):
        yield Finding(
            code="DATA-078", severity="error", files=same,
            text=f"masks that are the image itself: {len(same)}", fix="put the real masks in their place",
        )  # fmt: skip


def _amounts(masks: Sequence[Mask], meaning: Meaning) -> Iterator[Finding]:
    if meaning.inverted:
        files = tuple(mask.locator for mask in masks if (mask.row, mask.reader) in meaning.inverted)
        yield Finding(
            code="DATA-076", severity="warning", files=files,
            text=f"{len(files)} of {len(masks)} masks are more than {INVERTED:.0%} foreground: are they inverted?",
            fix="if so, swap object and background; --fix-into does",
        )  # fmt: skip
    empty = [mask for mask in masks if not sum(meaning.areas(mask)[1:])]
    if empty:
        cases = len({mask.row for mask in empty})
        yield Finding(
            code="DATA-084", severity="warning" if len(empty) > len(masks) / 2 else "note",
            files=tuple(mask.locator for mask in empty),
            text=f"{len(empty)} of {len(masks)} masks are empty, in {cases} cases",
            fix="fine where there is nothing to find; else draw them",
        )  # fmt: skip
