"""Long lists in what is said: five of each, and how many more; all of them are in a file that the error names.

A list is what is indented by four or more, an item a line; what belongs to an item is indented further.
"""

from collections.abc import Iterator, Sequence

_SHOWN = 5
"""Items of a list that are shown."""

SPARED = 2
"""So few more are shown too, in place of a line that counts them."""

_LONGEST = 2000
"""Characters of a line that are shown: no path of ours is longer, a name that somebody made up may be."""

DEPTH = 4
"""The indentation from which lines are items."""


def shortened(text: str) -> str:
    """The text with the first five items of each long list, and the number of those that were left out.

    A line of a length that nobody reads is cut.
    """
    lines = list(map(_readable, text.split("\n")))
    shown, place = list[str](), 0
    while place < len(lines):
        end = _end(lines, place)
        shown += _cut(lines[place:end]) if end > place else [lines[place]]
        place = max(end, place + 1)
    return "\n".join(shown)


def _readable(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ... and {len(line) - _LONGEST:,} characters more"


def _end(lines: Sequence[str], start: int) -> int:
    """Where a list ends that begins here; here, if none does."""
    depth = max(DEPTH, _depth(lines[start]))
    return next((place for place in range(start, len(lines)) if _depth(lines[place]) < depth), len(lines))


def _cut(lines: Sequence[str]) -> list[str]:
    """A list of lines of which none is indented less than the first."""
    items = list(_items(lines))
    left_out = len(items) - _SHOWN if len(items) > _SHOWN + SPARED else 0
    shown = [line for first, *below in items[: len(items) - left_out] for line in (first, *_shortened(below))]
    return [*shown, f"{' ' * _depth(lines[0])}... and {left_out} more"] if left_out else shown


def _items(lines: Sequence[str]) -> Iterator[list[str]]:
    """Each item with what belongs to it."""
    starts = [place for place, line in enumerate(lines) if _depth(line) == _depth(lines[0])]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield list(lines[start:end])


def _shortened(lines: Sequence[str]) -> list[str]:
    return shortened("\n".join(lines)).split("\n") if lines else []


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
