"""Which axes are halved from level to level, and how wide convolutions are before they are."""

import pytest
import torch

from sfumato.errors import UsageError
from sfumato.networks.halving import LEAST_SIDE, Halvings, level_halvings

ALL = (2, 2, 2)


@pytest.mark.parametrize(
    ("size", "spacing", "expected"),
    [
        ((64, 64, 64), None, [ALL] * 4),
        ((64, 64, 64), (0.7, 0.7, 0.7), [ALL] * 4),
        ((36, 50, 36), (1.0, 1.0, 1.0), [ALL] * 3),
        ((36, 50, 36), None, [ALL] * 3),
        ((16, 128, 128), (5.0, 1.0, 1.0), [(1, 2, 2), (1, 2, 2), ALL, ALL, (1, 2, 2)]),
        ((16, 128, 128), (3.0, 1.0, 1.0), [(1, 2, 2), ALL, ALL, (1, 2, 2), (1, 2, 2)]),
        ((16, 128, 128), None, [ALL, ALL, (1, 2, 2), (1, 2, 2), (1, 2, 2)]),
        ((64, 64, 64), (2.0, 1.0, 1.0), [ALL] * 4),
        ((64, 64, 64), (2.0005, 1.0, 1.0), [ALL] * 4),
        ((64, 64, 64), (2.01, 1.0, 1.0), [(1, 2, 2), ALL, ALL, ALL]),
        ((64, 64, 64), (1.0, 3.0, 1.0), [(2, 1, 2), ALL, ALL, ALL]),
        ((64, 64, 64), (4.5, 2.1, 1.0), [(1, 1, 2), (1, 2, 2), ALL, ALL]),
        ((7, 32, 32), (1.0, 1.0, 1.0), [(1, 2, 2)] * 3),
        ((64, 8, 8), (8.0, 1.0, 1.0), [(1, 2, 2), (2, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)]),
        ((8, 8, 8), None, [ALL]),
        ((3, 3, 3), None, []),
    ],
)
def test_an_axis_waits_for_finer_ones_and_keeps_its_last_pixels(
    size: tuple[int, ...], spacing: tuple[float, ...] | None, expected: list[tuple[int, ...]]
) -> None:
    assert level_halvings(size, spacing, len(expected) + 1) == tuple(expected)


def test_the_halvings_of_fewer_levels_are_the_first_ones() -> None:
    whole = level_halvings((16, 128, 128), (5.0, 1.0, 1.0), 6)
    assert whole is not None
    for levels in range(1, 6):
        assert level_halvings((16, 128, 128), (5.0, 1.0, 1.0), levels) == whole[: levels - 1]


def test_of_any_volume() -> None:
    """Something is halved at every level, and nothing is that has no room or is coarser than twice the finest."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        size = torch.randint(8, 200, (3,), generator=generator).tolist()
        spacing = torch.exp(torch.randn(3, generator=generator)).tolist()
        levels = 1 + max(size).bit_length() - LEAST_SIDE.bit_length()
        for factor in level_halvings(size, spacing, levels) or ():
            halved = [axis for axis in range(3) if factor[axis] == 2]
            assert halved and all(size[axis] >= 2 * LEAST_SIDE for axis in halved)
            finest = min(spacing[axis] for axis in range(3) if size[axis] >= 2 * LEAST_SIDE)
            assert max(spacing[axis] for axis in halved) < 2.01 * finest
            size = [length / each for length, each in zip(size, factor, strict=True)]
            spacing = [step * each for step, each in zip(spacing, factor, strict=True)]


def test_images_are_halved_as_ever() -> None:
    assert level_halvings((3, 500), (1.0, 9.0), 8) is None


@pytest.mark.parametrize(
    ("size", "levels", "possible"), [((7, 7, 7), 2, 1), ((36, 50, 36), 5, 4), ((16, 128, 128), 9, 6)]
)
def test_more_levels_than_a_volume_has_room_for_are_refused(size: tuple[int, ...], levels: int, possible: int) -> None:
    with pytest.raises(UsageError, match=f"{levels} levels.*{' x '.join(map(str, size))}") as raised:
        level_halvings(size, (1.0, 1.0, 1.0), levels)
    assert raised.value.expected == f"at most {possible} levels" and "multipliers" in (raised.value.remedy or "")
    assert level_halvings(size, (1.0, 1.0, 1.0), possible) is not None


def test_planes_are_mixed_from_the_level_on_at_which_they_are_halved() -> None:
    """As nnU-Net's kernels for thick slices; those of an axis that is never halved are 3 everywhere."""
    waiting = Halvings.of([(1, 2, 2), (1, 2, 2), ALL, (1, 2, 2)], levels=5, dimensions=3)
    assert [waiting.kernel(level) for level in range(5)] == [(1, 3, 3)] * 2 + [(3, 3, 3)] * 3
    never = Halvings.of([(1, 2, 2), (1, 2, 2)], levels=3, dimensions=3)
    assert [never.kernel(level) for level in range(3)] == [(3, 3, 3)] * 3
    for dimensions in (2, 3):
        alike = Halvings.of(None, levels=3, dimensions=dimensions)
        assert {alike.kernel(level) for level in range(3)} == {(3,) * dimensions}


def test_the_sides_of_a_pixel_are_products_of_the_halvings_before() -> None:
    halvings = Halvings.of([(1, 2, 2), ALL, (2, 1, 2)], levels=4, dimensions=3)
    assert [halvings.sides(level) for level in range(4)] == [(1, 1, 1), (1, 2, 2), (2, 4, 4), (4, 4, 8)]
    assert Halvings.of(None, levels=4, dimensions=2).sides(3) == (8, 8)
    assert Halvings.of(None, levels=1, dimensions=3).sides(0) == (1, 1, 1)
