"""Names without a partner, beside those that were perhaps meant to be theirs."""

from collections.abc import Sequence
from difflib import get_close_matches

from sfumato.data.formats.locator import Locator
from sfumato.escape import visible

_ALIKE = 0.75
"""Ratio of `difflib.SequenceMatcher` from which a name may be a misspelt other."""

MOST_NAMES = 50
"""Names that are compared with so many others: each with each takes its time, and five are shown."""


def with_nearest(names: Sequence[str], others: Sequence[str]) -> str:
    """Names one a line, each with the most alike of the others, where one is much like it.

    Args:
        names: locators.
        others: locators of files that have no partner either.
    """
    shown = {_stem(other): other for other in others[:MOST_NAMES]}
    lines = []
    for number, name in enumerate(names):
        near = get_close_matches(_stem(name), shown, n=1, cutoff=_ALIKE) if number < MOST_NAMES else []
        beside = f" (nearest: {visible(_name(shown[near[0]]))})" if near else ""
        lines.append(f"    {visible(name)}{beside}")
    return "\n".join(lines)


def _name(locator: str) -> str:
    target = Locator.parse(locator)
    return (target.member or target.path.name).rsplit("/", 1)[-1]


def _stem(locator: str) -> str:
    """What is compared: the name without its endings, which are alike for all."""
    return _name(locator).partition(".")[0].casefold()


def alike_among(names: Sequence[str]) -> list[str]:
    """Pairs of names that are much alike, such as "a1.png and a_1.png"; each name is in one at most."""
    shown = {_stem(name): _name(name) for name in names[:MOST_NAMES]}
    pairs = []
    while shown:
        key, name = shown.popitem()
        if near := get_close_matches(key, shown, n=1, cutoff=_ALIKE):
            pairs.append(f"{visible(shown.pop(near[0]))} and {visible(name)}")
    return pairs[::-1]
