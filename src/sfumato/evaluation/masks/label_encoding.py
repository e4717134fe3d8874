"""What the values stored in predicted masks mean, which need not be stored as the references are.

A reference of 0 and 255 and predictions of 0 and 1 are the usual pair: compared as they are, no pixel of the object
would ever agree. The meaning is decided once for all masks of a model, and said where it is another than the
reference's.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sfumato.data.mask import MaskRule
from sfumato.errors import DataError

_WHITE = 255

_SHOWN = 8
"""So many of the values that are no class are told."""


class LabelEncoding(NamedTuple):
    """What values mean, and what to tell a person about it (nothing where it is as in the reference)."""

    rule: MaskRule
    note: str = ""


def decide_coding(values: Collection[int], rule: MaskRule, *, name: str) -> LabelEncoding:
    """The meaning of the values in all masks of a model.

    Args:
        values: all that occur.
        rule: of the reference.
        name: of the model, for people.

    Raises:
        DataError: they are neither the reference's, nor class indices, nor 0 and 255 for a single class.
    """
    found, indices = set(values), set(range(rule.classes))
    own = rule._replace(ignore=None)
    if found <= set(rule.values):
        return LabelEncoding(own)
    if found <= indices:
        told = f"{name}: the masks hold class indices (0 to {rule.classes - 1}), unlike the reference"
        return LabelEncoding(MaskRule(tuple(sorted(indices)), None, told), told)
    if rule.classes == 2 and found <= {0, _WHITE}:
        told = f"{name}: the masks hold 0 and 255, unlike the reference"
        return LabelEncoding(MaskRule((0, _WHITE), None, told), "" if rule.threshold else told)
    if rule.threshold is not None:
        return LabelEncoding(own)
    raise _of_no_class(sorted(found), rule, name)


def _of_no_class(found: Sequence[int], rule: MaskRule, name: str) -> DataError:
    shown = ", ".join(map(str, found[:_SHOWN]))
    if len(found) > _SHOWN:
        shown += " ..."
    return DataError(
        f"{name}: the predicted masks have the values {shown}",
        expected=f"the values of the reference ({', '.join(map(str, rule.values))}) or class indices "
        f"0 to {rule.classes - 1}",
        remedy="write each pixel's class, not its probability, into the predicted masks",
        code="SCORE-002",
    )
