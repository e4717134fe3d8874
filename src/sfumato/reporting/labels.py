"""Names where there is little room: shortened, but each still another one than the others."""

from collections.abc import Callable, Sequence

ELLIPSIS = "\u2026"


def shortened_names(names: Sequence[str], most: int) -> list[str]:
    """Names of at most so many letters.

    They are cut at the end; in the middle, where that would make two the same; and numbered, where that would too.

    Args:
        names: any.
        most: letters, 8 at least.
    """
    tail = most // 2
    for cut in (0, tail):
        short = [_cut(name, most, cut) for name in names]
        if len(set(short)) == len(names):
            return short
    return [_cut(f"{number} {name}", most, 0) for number, name in enumerate(names, start=1)]


def _cut(name: str, most: int, tail: int) -> str:
    if len(name) <= most:
        return name
    return name[: most - 1 - tail] + ELLIPSIS + (name[-tail:] if tail else "")


def cut_to_width(name: str, width: float, measure: Callable[[str], float]) -> str:
    """A name cut at its end until it fits.

    Args:
        name: any.
        width: the room that there is.
        measure: how much room a text takes.
    """
    short = name
    while short and measure(short) > width:
        short = short.removesuffix(ELLIPSIS)[:-1] + ELLIPSIS if len(short) > 1 else ""
    return short
