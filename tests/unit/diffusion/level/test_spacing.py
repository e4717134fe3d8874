"""Which entries of a table a grid keeps."""

from itertools import pairwise

import pytest

from sfumato.diffusion.level.schedule import cosine, linear
from sfumato.diffusion.level.spacing import kept, leading_grid, linspace_grid, respaced_grid, trailing_grid


def test_where_grids_start_and_end():
    table = linear(100)
    assert trailing_grid(table, 4) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert leading_grid(table, 4) == [0.76, 0.51, 0.26, 0.01, 0.0]
    assert linspace_grid(table, 4) == [1.0, 0.67, 0.34, 0.01, 0.0]
    assert respaced_grid(table, "4") == linspace_grid(table, 4)
    assert respaced_grid(table, "ddim4") == leading_grid(table, 4)


def test_parts_of_unequal_length():
    """Ten entries in three parts are 4, 3, 3; each keeps its own first and last."""
    assert kept(10, "2,1,3") == [0, 3, 4, 7, 8, 9]


@pytest.mark.parametrize("grid", [trailing_grid, leading_grid, linspace_grid])
@pytest.mark.parametrize("steps", [2, 3, 17, 99, 100])
def test_grids_fall(grid, steps: int):  # type: ignore[no-untyped-def]
    times = grid(cosine(100), steps)
    assert len(times) == steps + 1 and times[-1] == 0
    assert all(s < t for t, s in pairwise(times))


@pytest.mark.parametrize("grid", [trailing_grid, leading_grid, linspace_grid])
def test_more_steps_than_there_are(grid):  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="11 steps on a table of 10"):
        grid(cosine(10), 11)


@pytest.mark.parametrize("spacing", ["11", "6,1", "0", "ddim7", "ddim0"])
def test_spacings_that_cannot_be(spacing: str):
    with pytest.raises(ValueError, match=r"of (10|5)"):
        kept(10, spacing)
