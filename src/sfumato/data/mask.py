"""What the numbers stored in masks mean.

People store masks as 0/255, as 0/1 (which looks black), as class indices, as grey levels for classes (0, 128, 255), and
as one of these after a resize or JPEG compression, which leaves many values around the true ones. The meaning is
decided once, over all masks of a set together, said in a sentence, and kept with the data.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, Integer, UInt8, UInt16

from sfumato.errors import DataError

MAX_CLASSES = 64
"""More values than this in one set of masks are taken for object numbers (instances), not classes."""

FEW = 8
"""Up to this many values that are not consecutive are classes; more are greys around 0 and 255."""

Count = Int64[np.ndarray, " values"]


class MaskRule(NamedTuple):
    """How stored values become class indices; class 0 is the background.

    Attributes:
        values: the stored value of each class; empty when there is a threshold.
        threshold: stored values from here on are class 1, all others class 0.
        text: the rule in a sentence for a person.
    """

    values: tuple[int, ...]
    threshold: int | None
    text: str

    @property
    def classes(self) -> int:
        """Number of classes, background included; at least 2."""
        return max(2, len(self.values))

    def apply(self, raw: Integer[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"] | UInt16[np.ndarray, "h w"]:
        """Class index of each pixel.

        Raises:
            DataError: a value that no class has.
        """
        if self.threshold is not None:
            return (raw >= self.threshold).astype(np.uint8)
        known = np.asarray(self.values)
        index = np.searchsorted(known, raw).clip(max=len(known) - 1)
        if (strange := known[index] != raw).any():
            row, column = np.argwhere(strange)[0]
            raise DataError(
                f"the mask has the value {raw[row, column]} (row {row}, column {column}); "
                f"{strange.sum()} pixels have values of no class",
                expected=self.text,
                code="DATA-014",
            )
        return index.astype(np.uint8 if self.classes <= 256 else np.uint16)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"values": list(self.values), "threshold": self.threshold, "text": self.text}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "MaskRule":
        """From what `to_dict` wrote."""
        return cls(tuple(entry["values"]), entry["threshold"], entry["text"])


def decide_mask_rule(counts: Mapping[int, int]) -> MaskRule:
    """The meaning of the values found in all masks of a set.

    Args:
        counts: pixels that have each stored value, over all masks.

    Raises:
        DataError: too many values for classes, and not greys around 0 and 255 either.
    """
    values = tuple(sorted(counts))
    if len(values) <= 2:
        return _binary(values)
    if _soft(counts):
        text = f"the masks have {len(values)} values, most near 0 or 255 (resized or JPEG): 128 and above is the object"
        return MaskRule((), 128, text)
    if len(values) > MAX_CLASSES or (values[-1] - values[0] >= MAX_CLASSES and len(values) > FEW):
        raise DataError(
            f"the masks have {len(values)} values ({_shown(values)}): are they numbers of objects instead of classes?",
            expected=f"0/255, or at most {MAX_CLASSES} class indices",
            remedy="save masks that give each pixel its class",
            code="DATA-014",
        )
    if values[-1] < MAX_CLASSES and len(values) > (values[-1] + 1) // 2 and values[0] in (0, 1):
        text = f"the masks hold class indices: 0 to {values[-1]}"
        return MaskRule(tuple(range(values[-1] + 1)), None, text)
    classes = ", ".join(f"{value} is class {index}" for index, value in enumerate(values))
    return MaskRule(values, None, f"the masks have the values {_shown(values)}: {classes}")


def _binary(values: tuple[int, ...]) -> MaskRule:
    match values:
        case (0,):
            return MaskRule((0, 255), None, "all masks are empty (0); 255 would be the object")
        case (value,):
            return MaskRule((0, value), None, f"the masks are full ({value} everywhere): 0 would be the background")
        case (low, high):
            return MaskRule((low, high), None, f"the masks have two values: {low} is the background, {high} the object")
    raise DataError("there is no mask", code="DATA-014")


def _soft(counts: Mapping[int, int]) -> bool:
    """Whether the values are 0 and 255 with greys between: many values, most of the bright ones near white."""
    if len(counts) <= FEW or max(counts) > 255:
        return False
    bright = sum(count for value, count in counts.items() if value > 15)
    white = sum(count for value, count in counts.items() if value >= 240)
    return white >= 0.25 * bright > 0


def _shown(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values[:FEW])) + (f" ... {values[-1]}" if len(values) > FEW else "")


def count_values(raw: Integer[np.ndarray, "h w"]) -> dict[int, int]:
    """How many pixels have each value."""
    if raw.dtype == np.uint8:
        counts = np.bincount(raw.reshape(-1))
        return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
    values, counts = np.unique(raw, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
