"""Tables and facts at any width: nothing is cut off, no number is broken, no line is longer than the terminal."""

import random

import pytest

from sfumato.commands.output.console import console
from sfumato.commands.output.layout import GAP, Grid, parted, show_facts, show_table

WIDTHS = (100, 80, 60, 40)
INTERVAL = "-0.003 [-0.010, +0.022]"


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Shows something on a terminal of a width; the lines."""

    def shown(width: int, show, *given, **named) -> list[str]:
        monkeypatch.setattr(console, "_width", width)
        show(*given, **named)
        return capsys.readouterr().err.splitlines()

    return shown


def some_table(seed: int) -> Grid:
    """Columns of numbers and intervals beside names of one to four words."""
    draw = random.Random(seed)
    words = ["diffusion", "deterministic", "twin", "relative", "volume", "grade", "0", "(px)"]
    names = [" ".join(draw.sample(words, draw.randint(1, 4))) for _ in range(draw.randint(1, 5))]
    head = ["number", *(" ".join(draw.sample(words, draw.randint(1, 3))) for _ in range(draw.randint(1, 9)))]
    cells = [INTERVAL, "0.858 [0.812, 0.874]", "12 of 24 [0.30, 0.70]", "7%", "", "\u2013"]
    return Grid(head, [[name, *(draw.choice(cells) for _ in head[1:])] for name in names])


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(8))
def test_every_cell_stands_whole_at_every_width(at, width: int, seed: int) -> None:
    grid = some_table(seed)
    lines = at(width, show_table, grid.head, grid.rows, title="title")
    assert max(map(len, lines)) <= width
    assert "\u2026" not in "".join(lines)
    for row in grid.rows:
        for cell in row[1:]:
            assert sum(line.count(cell) for line in lines) >= sum(other == cell for other in row[1:])
    assert all(word in " ".join(lines).split() for name in grid.head for word in name.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_parts_show_every_column_once_beside_the_first(width: int) -> None:
    for seed in range(40):
        grid = some_table(seed)
        parts = parted(grid, width)
        assert [column for part in parts for column in part[1:]] == [*range(1, len(grid.head))]
        assert all(part[0] == 0 and len(part) > 1 for part in parts)
        for part in parts:
            assert sum(grid.needs(column, width) for column in part) + GAP * (len(part) - 1) <= width


def test_what_fits_is_one_table(at) -> None:
    lines = at(80, show_table, ["arm", "Dice"], [["real", INTERVAL], None, ["twin", ""]])
    assert lines[0].split() == ["arm", "Dice"]
    assert lines[1].strip("- ") == "" and lines[2].split(maxsplit=1) == ["real", INTERVAL]
    assert [line.strip() for line in lines[3:]] == ["", "twin", ""]


def test_a_column_that_does_not_fit_makes_each_row_a_list(at) -> None:
    lines = at(20, show_table, ["arm", "Dice", "calls"], [["real", INTERVAL, "3"], ["twin", "", "4"]])
    words = " ".join(" ".join(lines).split())
    assert words == f"real Dice {INTERVAL} calls 3 twin calls 4"
    assert max(map(len, lines)) <= 20


def test_two_columns_of_names_are_repeated(at) -> None:
    head = ["class", "model", "one", "two", "three"]
    lines = at(60, show_table, head, [["lesion", "twin", INTERVAL, INTERVAL, INTERVAL]], keys=2)
    assert sum("lesion" in line and "twin" in line for line in lines) == 3


def test_names_are_broken_but_whole(at) -> None:
    name = "pneumonoultramicroscopicsilicovolcanoconiosis"
    for width in WIDTHS:
        lines = at(width, show_table, ["class", "Dice"], [[name, INTERVAL]])
        assert max(map(len, lines)) <= width
        assert name in "".join(line.split(" ")[0] for line in lines if line[:1] != " ")
        assert any(INTERVAL in line for line in lines)


def test_wide_letters_are_counted_by_their_width(at) -> None:
    lines = at(40, show_table, ["class", "Dice"], [["\u809d\u81d3\u816b\u760d", INTERVAL]])
    assert any("\u809d\u81d3\u816b\u760d" in line and INTERVAL in line for line in lines)


def test_no_markup_is_obeyed(at) -> None:
    lines = at(80, show_table, ["[bold]class", "Dice"], [["[red]lesion[/red]", "[0, 1]"]])
    assert "[bold]class" in lines[0] and "[red]lesion[/red]" in lines[2] and "[0, 1]" in lines[2]
    assert any("[red]x" in line for line in at(80, show_facts, [("[red]x", "[blue]y")]))


@pytest.mark.parametrize("width", [*WIDTHS, 20])
def test_facts_stand_whole_at_every_width(at, width: int) -> None:
    text = "numpy 2.4.6, safetensors 0.8.0, pydantic 2.14.4, pillow 12.3.0, nibabel 5.4.2"
    lines = at(width, show_facts, [("versions", text), ("sampling, 50 calls", "0.1 s")], indent=2)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert [word for word in words if word in text.split()] == text.split()
    assert all(word in words for word in ("versions", "sampling,", "calls", "0.1"))
