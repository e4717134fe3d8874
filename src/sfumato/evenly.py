"""A few of many, equally spaced: where all need not be looked at, they stand for all, and are the same each time."""

from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")


def evenly(items: Sequence[_Item], at_most: int) -> list[_Item]:
    """At most so many items, equally spaced, the first one among them."""
    if len(items) <= at_most:
        return list(items)
    return [items[number * len(items) // at_most] for number in range(at_most)]
