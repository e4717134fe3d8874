"""Tables and facts on a terminal of any width: nothing is cut off, and no number is broken in two.

    show_table   columns side by side; where they do not fit, some of them at a time, each time beside the first ones;
                 where not even one fits there, every row by itself
    show_facts   names, each with what is known of it beside it, or below it where it is narrow

Rules are drawn in ASCII, so that a table is the same on every terminal, in a log and in a mail.
"""

from collections.abc import Sequence
from typing import NamedTuple

from rich.box import Box
from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sfumato.commands.output.console import console
from sfumato.progress import say

GAP = 2
"""Columns of the terminal between two columns of a table."""

NARROW = 24
"""Columns of the terminal that a fact needs to stand beside its name."""

RULED = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)
"""A rule below the head, and nothing else."""

_Row = Sequence[str]


class Grid(NamedTuple):
    """A table before it is laid out.

    Attributes:
        head: names of the columns.
        rows: a cell for each column; None leaves a line empty.
        keys: so many columns, the first ones, say what a row is about; their cells may be broken, those of others not.
    """

    head: _Row
    rows: Sequence[_Row | None]
    keys: int = 1

    def cells(self, column: int) -> list[str]:
        """The cells of a column, without its head."""
        return [row[column] for row in self.rows if row is not None]

    def needs(self, column: int, width: int) -> int:
        """The least that a column takes: cells of numbers whole, all else by words, of half the terminal at most."""
        if column >= self.keys:
            return max(1, _widest_word(self.head[column]), *map(cell_len, self.cells(column)))
        return min(width // 2, max(map(_widest_word, [self.head[column], *self.cells(column)])))

    def wishes(self, column: int) -> int:
        """What a column takes with nothing broken."""
        return max(map(cell_len, [self.head[column], *self.cells(column)]))


def show_table(head: _Row, rows: Sequence[_Row | None], *, title: str = "", keys: int = 1) -> None:
    """A table on stderr.

    Args:
        head: names of the columns.
        rows: a cell for each column; None leaves a line empty.
        title: a line above.
        keys: so many columns, the first ones, say what a row is about; they are repeated where the table is parted.
    """
    if title:
        say(title)
    grid = Grid(head, rows, keys)
    parts = parted(grid, console.width)
    for columns in parts:
        console.print(_drawn(grid, columns, console.width))
        console.print()
    if not parts:
        _show_each(grid)


def parted(grid: Grid, width: int) -> list[list[int]]:
    """Which columns stand side by side in each part of a table; nothing where a column does not fit beside the first.

    Args:
        grid: the table.
        width: columns of the terminal.
    """
    keys = [*range(grid.keys)]
    beside = sum(grid.needs(column, width) + GAP for column in keys)
    parts: list[list[int]] = []
    left = 0
    for column in range(grid.keys, len(grid.head)):
        needed = grid.needs(column, width)
        if beside + needed > width:
            return []
        if not parts or GAP + needed > left:
            parts.append([*keys])
            left = width - beside + GAP
        parts[-1].append(column)
        left -= GAP + needed
    return parts


def _widths(grid: Grid, columns: Sequence[int], width: int) -> list[int]:
    """What each column gets: what it needs; what is left makes names whole, then heads."""
    widths = [grid.needs(column, width) for column in columns]
    wishes = [min(grid.wishes(column), width // 2) for column in columns]
    left = width - sum(widths) - GAP * (len(columns) - 1)
    for part in (range(grid.keys), range(grid.keys, len(columns))):
        left = _spent(left, widths, wishes, part)
    return widths


def _spent(left: int, widths: list[int], wishes: Sequence[int], part: Sequence[int]) -> int:
    """Widen some of the columns, always the one that is broken into the most lines; what is left then."""
    while left > 0 and (broken := [place for place in part if wishes[place] > widths[place]]):
        widths[max(broken, key=lambda place: wishes[place] / widths[place])] += 1
        left -= 1
    return left


def _widest_word(text: str) -> int:
    return max((cell_len(word) for word in text.split()), default=0)


def _drawn(grid: Grid, columns: Sequence[int], width: int) -> Table:
    table = Table(box=RULED, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column, its_width in zip(columns, _widths(grid, columns, width), strict=True):
        table.add_column(Text(grid.head[column]), width=its_width, overflow="fold")
    for row in grid.rows:
        table.add_row(*("" if row is None else Text(row[column]) for column in columns))
    return table


def _show_each(grid: Grid) -> None:
    """Every row by itself: what it is about, then a line for each of its cells that is not empty."""
    for row in filter(None, grid.rows):
        show_facts([(", ".join(filter(None, row[: grid.keys])), "")])
        cells = zip(grid.head[grid.keys :], row[grid.keys :], strict=True)
        show_facts([(name, cell) for name, cell in cells if cell], indent=GAP)
    console.print()


def show_facts(facts: Sequence[tuple[str, str]], *, indent: int = 0) -> None:
    """Names with what is known of each, on stderr.

    Args:
        facts: name and text.
        indent: columns left free before them.
    """
    names = max((cell_len(name) for name, _ in facts), default=0)
    beside = indent + names + GAP + NARROW <= console.width
    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(no_wrap=beside, overflow="fold")
    if beside:
        table.add_column(overflow="fold")
    for name, text in facts:
        if beside:
            table.add_row(Text(name), Text(text))
            continue
        table.add_row(Text(name))
        if text:
            table.add_row(Padding(Text(text), (0, 0, 0, GAP)))
    console.print(Padding(table, (0, 0, 0, indent), expand=False))
