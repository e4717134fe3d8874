"""What the masks of a set mean.

The meaning is decided over all masks together (`sfumato.data.mask`). Before that, three habits are recognised that
would pass for classes: grey levels of a palette (0, 38, 75 for 0, 1, 2), 0/1 masks among 0/255 masks, and numbers of
objects.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from sfumato.data.facts import Agreement, CaseFacts, MaskFacts
from sfumato.data.inspection.finding import Finding
from sfumato.data.mask import IGNORED, MaskRule, decide_mask_rule, named_mask_rule
from sfumato.data.source import DiscoveredDataset
from sfumato.errors import DataError

INVERTED = 0.8
"""More foreground than this share: object and background may have changed places."""

RIM = 0.98
"""... if the rim of the mask is foreground to this share: a large object leaves some of it free."""

_HALF = 128
"""Masks with values from here on are not class indices."""

_RARE = 0.02
"""A value that so few of at least 20 masks have is unexpected."""

ONES = MaskRule((0, 1), None, "0 is the background, 1 the object")

_FIRST_GREY = 38
"""The grey of class 1 in a mask that was read without its palette."""

PALETTE_CLASSES = 21
"""Colours of the palette of Pascal VOC that are looked for."""


class MeasuredMask(NamedTuple):
    """One mask of a set: where it is, and what was measured."""

    row: int
    reader: int
    locator: str
    facts: MaskFacts


class LabelMapping(NamedTuple):
    """What the stored values of a set's masks mean.

    Attributes:
        rule: from values to class indices; None where no rule was found.
        palette: where the values are greys of a palette, the class of each.
        ones: row and reader of the masks with 0 and 1 among masks with 0 and 255.
        inverted: row and reader of the masks whose object and background have changed places.
        finding: what is wrong with the values of the set as a whole.
        strange: masks with values that no class has.
    """

    rule: MaskRule | None
    palette: Mapping[int, int] = MappingProxyType({})
    ones: frozenset[tuple[int, int]] = frozenset()
    inverted: frozenset[tuple[int, int]] = frozenset()
    finding: Finding | None = None
    strange: tuple[MeasuredMask, ...] = ()

    @property
    def classes(self) -> int:
        """Number of classes, background included; 0 without a rule."""
        if self.palette:
            return max(self.palette.values()) + 1
        return self.rule.classes if self.rule else 0

    def apply(self, raw: Integer[np.ndarray, "h w"], row: int, reader: int) -> UInt8[np.ndarray, "h w"]:
        """Class indices of a mask as stored, polarity put right.

        Raises:
            DataError: a value that no class has, or there is no rule.
        """
        if self.rule is None:
            raise DataError("the values of the masks have no meaning", code="DATA-014")
        if self.palette:
            classes = np.zeros(256, np.uint8)
            classes[list(self.palette)] = list(self.palette.values())
            self.rule.apply(raw)  # refuses values of no class
            return np.asarray(classes[raw])
        rule = ONES if (row, reader) in self.ones else self.rule
        index = rule.apply(raw)
        if (row, reader) not in self.inverted:
            return index
        return np.where(index == IGNORED, index, 1 - index).astype(np.uint8)

    def areas(self, mask: MeasuredMask) -> tuple[int, ...]:
        """Pixels of each class in a mask; values of no class are not counted."""
        assert self.rule is not None
        counts = self._areas_as_stored(mask, self.rule)
        if (mask.row, mask.reader) in self.inverted:
            return counts[::-1]
        return counts

    def _areas_as_stored(self, mask: MeasuredMask, rule: MaskRule) -> tuple[int, ...]:
        values = mask.facts.values
        if (mask.row, mask.reader) in self.ones:
            rule = ONES
        if rule.threshold is not None:
            above = sum(count for value, count in values.items() if value >= rule.threshold)
            return (sum(values.values()) - above, above)
        if not self.palette:
            return tuple(values.get(value, 0) for value in rule.values)
        counts = [0] * self.classes
        for value, label in self.palette.items():
            counts[label] += values.get(value, 0)
        return tuple(counts)


def masks_of(found: DiscoveredDataset, facts: Sequence[CaseFacts]) -> list[MeasuredMask]:
    """All masks that could be read."""
    measured = list[MeasuredMask]()
    for row, (case, fact) in enumerate(zip(found.cases, facts, strict=True)):
        for reader, (locator, mask) in enumerate(zip(case.masks, fact.masks, strict=True)):
            if mask is not None:
                measured.append(MeasuredMask(row, reader, locator, mask))
    return measured


def agreements_of(facts: Sequence[CaseFacts], meaning: LabelMapping) -> list[Agreement]:
    """How far the readers agree on each case that several have drawn, inverted masks put right."""
    agreements = list[Agreement]()
    for row, fact in enumerate(facts):
        if fact.agreement is not None:
            inverted = {reader for reader in fact.agreement.readers if (row, reader) in meaning.inverted}
            agreements.append(fact.agreement.turned(inverted))
    return agreements


def read_meaning(found: DiscoveredDataset, masks: Sequence[MeasuredMask]) -> LabelMapping:
    """What the stored values mean, by what the source says and by what is there. Images as masks have no say."""
    masks = [mask for mask in masks if not mask.facts.copies_image]
    if not masks:
        return LabelMapping(None)
    if found.mask_names:
        return _named(found, masks)
    habit = _of_palette(masks) or _of_two_habits(masks)
    if habit is not None:
        return _with_inverted(habit, masks)
    counts = _counted(masks)
    strange = _strange(masks, counts)
    for value in _rare(masks, counts) & set(_counted(strange)):
        del counts[value]
    try:
        rule = decide_mask_rule(counts, ignore=found.ignore)
    except DataError as problem:
        return _objects(masks, problem)
    return _with_inverted(LabelMapping(rule, strange=strange), masks)


def _named(found: DiscoveredDataset, masks: Sequence[MeasuredMask]) -> LabelMapping:
    """As the source says, or a person."""
    rule = named_mask_rule(found.mask_names, found.ignore, said=found.names_are_said)
    known = {*rule.values, found.ignore}
    return LabelMapping(rule, strange=tuple(mask for mask in masks if set(mask.facts.values) - known))


def _with_inverted(meaning: LabelMapping, masks: Sequence[MeasuredMask]) -> LabelMapping:
    """Of a single class, the masks whose object and background have changed places."""
    if meaning.classes != 2:
        return meaning
    return meaning._replace(inverted=_inverted(masks, meaning))


def _counted(masks: Sequence[MeasuredMask]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for mask in masks:
        counts.update(mask.facts.values)
    return counts


def _of_palette(masks: Sequence[MeasuredMask]) -> LabelMapping | None:
    """Whether the values are grey levels of a palette."""
    greys = _palette_greys()
    values = tuple(sorted(_counted(masks)))
    if _FIRST_GREY not in values or not set(values) <= set(greys):
        return None
    finding = Finding(
        code="DATA-073",
        severity="error",
        files=tuple(mask.locator for mask in masks if _FIRST_GREY in mask.facts.values),
        text=f"the masks have the values {', '.join(map(str, values))}: grey levels of a palette, read without it",
        fix="save them with their palette, or let --fix-into put the class indices back",
    )
    rule = MaskRule(values, None, "the masks have the grey levels of a palette")
    return LabelMapping(rule, palette={value: greys[value] for value in values}, finding=finding)


def _of_two_habits(masks: Sequence[MeasuredMask]) -> LabelMapping | None:
    """Whether some masks are 0/1 and the others 0/255, sharp or soft."""
    ones = [mask for mask in masks if 1 in mask.facts.values and set(mask.facts.values) <= {0, 1}]
    others = [mask for mask in masks if max(mask.facts.values) >= _HALF]
    if not ones or not others:
        return None
    try:
        rule = decide_mask_rule(_counted(others))
    except DataError:
        return None
    if rule.threshold is None and rule.values != (0, 255):
        return None
    finding = Finding(
        code="DATA-074",
        severity="error",
        files=tuple(mask.locator for mask in ones),
        text=f"masks of two habits: {len(ones)} with 0 and 1, {len(others)} with values up to 255",
        fix="save all alike, or let --fix-into do it",
    )
    return LabelMapping(rule, ones=frozenset((mask.row, mask.reader) for mask in ones), finding=finding)


def _palette_greys() -> dict[int, int]:
    """Class of each grey that a mask with the palette of Pascal VOC has after `convert("L")`.

    Bits 0, 1, 2 of the class are the highest bits of red, green, blue; bits 3, 4, 5 the second highest, and so on.
    """
    colours = np.zeros((1, PALETTE_CLASSES, 3), np.uint8)
    for label in range(PALETTE_CLASSES):
        for bit in range(3):
            for channel in range(3):
                colours[0, label, channel] |= (label >> (3 * bit + channel) & 1) << (7 - bit)
    greys = np.asarray(Image.fromarray(colours).convert("L"))[0].tolist()
    classes: dict[int, int] = {}
    for label, grey in enumerate(greys):
        classes.setdefault(grey, label)  # where greys are equal, the lower class counts
    return classes


def _objects(masks: Sequence[MeasuredMask], problem: DataError) -> LabelMapping:
    """Too many values for classes: numbers of objects, where most masks count from 1 on; else nothing is known."""
    counted = [set(mask.facts.values) - {0} for mask in masks]
    numbered = [max(values) <= 2 * len(values) for values in counted if values]
    rule = None
    if sum(numbered) > len(numbered) / 2:
        rule = MaskRule((), 1, "numbers of objects: 1 and above is the object")
    finding = Finding(
        code=problem.code,
        severity="error",
        text=problem.finding,
        fix=problem.remedy,
        files=tuple(mask.locator for mask, values in zip(masks, counted, strict=True) if len(values) > 2),
    )
    return LabelMapping(rule, finding=finding)


def _rare(masks: Sequence[MeasuredMask], counts: Mapping[int, int]) -> set[int]:
    """Values that nearly no mask has, where masks have few values."""
    if len(masks) < 20 or len(counts) > 16:
        return set()
    holders = Counter[int]()
    for mask in masks:
        holders.update(set(mask.facts.values))
    return {value for value, count in holders.items() if count <= _RARE * len(masks) and value != 0}


def _strange(masks: Sequence[MeasuredMask], counts: Mapping[int, int]) -> tuple[MeasuredMask, ...]:
    """Masks with a rare value that does not continue the usual ones: 7 beside 0, 1, 2; 3 may be a rare class."""
    rare = _rare(masks, counts)
    usual = set(counts) - rare
    gaps = {value for value in rare if usual and value - 1 not in usual}
    return tuple(mask for mask in masks if gaps & set(mask.facts.values))


def _inverted(masks: Sequence[MeasuredMask], meaning: LabelMapping) -> frozenset[tuple[int, int]]:
    """All masks where the set is mostly foreground; else single ones that are, up to their rim."""
    counts = [meaning.areas(mask) for mask in masks]
    shares = [above / (below + above) for below, above in counts]
    if sum(above for _, above in counts) > INVERTED * sum(map(sum, counts)):
        return frozenset((mask.row, mask.reader) for mask in masks)
    if median(shares) > 0.5:
        return frozenset()
    inverted = set[tuple[int, int]]()
    for mask, share in zip(masks, shares, strict=True):
        rim = mask.facts.rim or 0
        if INVERTED < share < 1 and rim > RIM:
            inverted.add((mask.row, mask.reader))
    return frozenset(inverted)
