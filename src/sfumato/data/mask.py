"""What the numbers stored in masks mean.

People store masks as 0/255, as 0/1 (which looks black), as class indices, as grey levels for classes (0, 128, 255), and
as one of these after a resize or JPEG compression, which leaves many values around the true ones. The meaning is
decided once, over all masks of a set together, said in a sentence, and kept with the data.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Integer, UInt8

from sfumato.data.formats.joined import OUTSIDE
from sfumato.errors import DataError

MAX_CLASSES = 64
"""More values than this in one set of masks are taken for object numbers (instances), not classes."""

MOST_SPARSE_VALUES = 8
"""Up to this many values that are not consecutive are classes; more are greys around 0 and 255."""

IGNORED = 255
"""Class index of pixels that say nothing."""

STRANGE = 254
"""Class index, for a moment, of pixels that no class has; rules have fewer classes."""

Values = Integer[np.ndarray, "*values"]
_Classes = UInt8[np.ndarray, "*values"]
Strange = Bool[np.ndarray, "*values"]


class MaskRule(NamedTuple):
    """How stored values become class indices; class 0 is the background.

    Attributes:
        values: the stored value of each class; empty when there is a threshold.
        threshold: stored values from here on are class 1, all others class 0.
        text: the rule in a sentence for a person.
        ignore: the stored value of pixels that say nothing; they become `IGNORED`.
    """

    values: tuple[int, ...]
    threshold: int | None
    text: str
    ignore: int | None = None

    @property
    def classes(self) -> int:
        """Number of classes, background included; at least 2."""
        return max(2, len(self.values))

    def apply(self, raw: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
        """Class index of each pixel.

        Raises:
            DataError: a value that no class has.
        """
        if raw.dtype == np.uint8:
            index, strange = self._classes_of_bytes(raw)
        else:
            index, strange = self._classes(raw)
        if strange.any():
            row, column = np.argwhere(strange)[0]
            raise DataError(
                f"the mask has the value {raw[row, column]} (row {row}, column {column}); "
                f"{strange.sum()} pixels have values of no class",
                expected=self.text,
                code="DATA-014",
            )
        return np.asarray(index)

    def _classes(self, raw: Values) -> tuple[_Classes, Strange]:
        """Class index of each value, and whether no class has it."""
        if self.threshold is not None:
            index, strange = (raw >= self.threshold).astype(np.uint8), np.zeros(raw.shape, bool)
        else:
            known = np.asarray(self.values)
            place = np.searchsorted(known, raw).clip(max=len(known) - 1)
            index, strange = place.astype(np.uint8), known[place] != raw
        if self.ignore is None:
            return index, strange
        ignored = raw == self.ignore
        return np.where(ignored, np.uint8(IGNORED), index), strange & ~ignored

    def _classes_of_bytes(self, raw: UInt8[np.ndarray, "h w"]) -> tuple[_Classes, Strange]:
        """The same for bytes by a table, which is several times as fast."""
        index, strange = self._classes(np.arange(256))
        table = np.where(strange, np.uint8(STRANGE), index).tobytes()
        classes = np.frombuffer(bytearray(raw.tobytes()).translate(table), np.uint8).reshape(raw.shape)
        return classes, classes == STRANGE

    def shows_object(self, counts: Mapping[int, int]) -> bool:
        """Whether a mask with these values (`count_values`) has any pixel that is not background."""
        classes, _ = self._classes(np.array(list(counts), np.int64))
        return bool(((classes > 0) & (classes != IGNORED)).any())

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**self._asdict(), "values": list(self.values)}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "MaskRule":
        """From what `to_dict` wrote."""
        return cls(tuple(entry["values"]), entry["threshold"], entry["text"], entry.get("ignore"))


def named_mask_rule(names: Mapping[int, str], ignore: int | None = None, *, said: bool = False) -> MaskRule:
    """The rule of masks whose classes are named: these values and no other.

    Args:
        names: name of each stored value; 0 is the background if nothing is said of it.
        ignore: the stored value of pixels that say nothing.
        said: whether a person named them, and not the source.

    Raises:
        DataError: more classes than fit into 8 bits.
    """
    values = tuple(sorted({0, *names} - {ignore}))
    if len(values) >= IGNORED:
        raise DataError(
            f"the source names {len(values)} classes of pixels", expected=f"fewer than {IGNORED}", code="DATA-014"
        )
    named = ", ".join(f"{value} is {names.get(value, 'background')}" for value in values)
    who = "--class-names names the values of the masks" if said else "the source names the values of its masks"
    return MaskRule(values, None, f"{who}: {named}{_said(ignore)}", ignore)


def mask_rule(
    counts: Mapping[int, int], names: Mapping[int, str], ignore: int | None, *, said: bool = False
) -> MaskRule:
    """The meaning of mask values as the source names them, else decided from the values.

    Args:
        counts: pixels that have each stored value, over all masks.
        names: names of stored values, where the source has them.
        ignore: the stored value of pixels that say nothing, where the source has one.
        said: as for `named_mask_rule`.

    Raises:
        DataError: as for `named_mask_rule` and `decide_mask_rule`.
    """
    return named_mask_rule(names, ignore, said=said) if names else decide_mask_rule(counts, ignore=ignore)


def _said(ignore: int | None) -> str:
    if ignore == OUTSIDE:
        return "; pixels of ignored values or outside of the field of view say nothing and are left out"
    return "" if ignore is None else f"; {ignore} says nothing and is left out"


def class_names(rule: MaskRule, names: Mapping[int, str]) -> tuple[str, ...]:
    """The classes of pixels by name, background first: as the source names its values, else after them."""
    if names:
        return tuple(names.get(value, "background") for value in rule.values)
    if rule.classes == 2:
        return ("background", "foreground")
    return ("background", *(f"class {value}" for value in rule.values[1:]))


def decide_mask_rule(counts: Mapping[int, int], *, ignore: int | None = None) -> MaskRule:
    """The meaning of the values found in all masks of a set.

    Args:
        counts: pixels that have each stored value, over all masks.
        ignore: the stored value of pixels that say nothing.

    Raises:
        DataError: too many values for classes, and not greys around 0 and 255 either.
    """
    if ignore is not None:
        rule = decide_mask_rule({0: 0} | {value: count for value, count in counts.items() if value != ignore})
        return rule._replace(ignore=ignore, text=rule.text + _said(ignore))
    values = tuple(sorted(counts))
    if len(values) <= 2:
        return _binary(values)
    if is_soft(counts):
        text = (
            f"the masks have {len(values)} values, most near 0 or 255 (resized, JPEG, or shares of readers): 128 and "
            "above is the object"
        )
        return MaskRule((), 128, text)
    if len(values) > MAX_CLASSES or (values[-1] - values[0] >= MAX_CLASSES and len(values) > MOST_SPARSE_VALUES):
        raise DataError(
            f"the masks have {len(values)} values ({_shown(values)}): are they numbers of objects instead of classes?",
            expected=f"0/255, or at most {MAX_CLASSES} class indices",
            remedy="make them one class with --join-masks, or save masks that give each pixel its class"
            + _named(values),
            code="DATA-014",
        )
    if are_indices(values):
        text = f"the masks hold class indices: 0 to {values[-1]}"
        return MaskRule(tuple(range(values[-1] + 1)), None, text)
    classes = ", ".join(f"{value} is class {index}" for index, value in enumerate(values))
    return MaskRule(values, None, f"the masks have the values {_shown(values)}: {classes}")


def are_indices(values: Sequence[int]) -> bool:
    """Whether sorted values are taken for class indices, which count from 0 or 1: then 0 is the background."""
    return values[-1] < MAX_CLASSES and len(values) > (values[-1] + 1) // 2 and values[0] in (0, 1)


def _named(values: tuple[int, ...]) -> str:
    """The flag that makes classes of values, where they are few enough, as those of an atlas are."""
    if len(values) > MAX_CLASSES:
        return ""
    return f"; if each is a class: --class-names {','.join(f'{value}=class{value}' for value in values if value)}"


def _binary(values: tuple[int, ...]) -> MaskRule:
    match values:
        case (0,):
            return MaskRule((0, 255), None, "all masks are empty (0); 255 would be the object")
        case (value,):
            return MaskRule((0, value), None, f"the masks are full ({value} everywhere): 0 would be the background")
        case (low, high):
            return MaskRule((low, high), None, f"the masks have two values: {low} is the background, {high} the object")
    raise DataError("there is no mask", code="DATA-014")


def is_soft(counts: Mapping[int, int]) -> bool:
    """Whether the values are 0 and 255 with greys between: many values, most of the bright ones near white."""
    if len(counts) <= MOST_SPARSE_VALUES or max(counts) > 255:
        return False
    bright = sum(count for value, count in counts.items() if value > 15)
    white = sum(count for value, count in counts.items() if value >= 240)
    return white >= 0.25 * bright > 0


def _shown(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values[:MOST_SPARSE_VALUES])) + (
        f" ... {values[-1]}" if len(values) > MOST_SPARSE_VALUES else ""
    )


def count_values(raw: Integer[np.ndarray, "h w"]) -> dict[int, int]:
    """How many pixels have each value."""
    low, high = int(raw.min()), int(raw.max())
    lowest, highest = int(np.count_nonzero(raw == low)), int(np.count_nonzero(raw == high))
    if low == high or lowest + highest == raw.size:  # nearly all masks: far faster than counting each value
        return {low: lowest, high: highest}
    if raw.dtype == np.uint8:
        counts = np.bincount(raw.reshape(-1))
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    values, counts = np.unique(raw, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
