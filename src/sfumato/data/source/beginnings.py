"""Names that others begin with, up to a separator: `22678622` of `22678622_61be_MG_R_CC_ANON`.

Tables and masks of some sets are called so (INbreast). A beginning says a name where no other has it.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from sfumato.data.manifest import folded

T = TypeVar("T")


def beginnings(name: str) -> Iterator[str]:
    """The beginnings of a name that end before a separator."""
    yield from (name[: mark.start()] for mark in re.finditer(r"(?<=[^ _.-])[ _.-]", name))


def by_beginning(named: Iterable[tuple[str, T]]) -> Mapping[str, list[T]]:
    """What has each beginning with a digit in its name, whose case and accents do not count.

    Args:
        named: names, and what they are of.
    """
    found: dict[str, list[T]] = defaultdict(list)
    for name, what in named:
        for start in beginnings(folded(name)):
            if re.search(r"\d", start):
                found[start].append(what)
    return found
