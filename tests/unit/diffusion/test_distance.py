"""Distances of every pixel against SciPy's, and where there is nothing to be distant from."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from sfumato.diffusion import distance
from sfumato.diffusion.distance import diagonal, distance_transform, signed_distance


def regions(*space: int, share: float = 0.6) -> torch.Tensor:
    """Blocks and single pixels, in sides that no block divides."""
    generator = torch.Generator().manual_seed(len(space))
    coarse = torch.rand(3, 2, *(-(-side // 4) for side in space), generator=generator)
    blocks = torch.nn.functional.interpolate(coarse, size=space) < share
    return blocks ^ (torch.rand(3, 2, *space, generator=generator) < 0.02)


@pytest.mark.parametrize("space", [(13, 22), (9, 14, 6), (1, 30), (41, 3)])
def test_it_is_scipys(space: tuple[int, ...]) -> None:
    masks = regions(*space)
    expected = [[distance_transform_edt(mask) for mask in item] for item in masks.numpy()]
    torch.testing.assert_close(
        distance_transform(masks), torch.from_numpy(np.array(expected)).float(), rtol=1e-7, atol=0
    )


def test_pieces_are_the_same_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = regions(13, 22)
    whole = distance_transform(masks)
    monkeypatch.setitem(distance.SUMS_AT_ONCE, "cpu", 2 * 22 * 22)
    assert torch.equal(distance_transform(masks), whole)


def test_a_far_corner_is_counted_exactly() -> None:
    masks = torch.ones(1, 1, 400, 300, dtype=torch.bool)
    masks[..., 0, 0] = False
    found = distance_transform(masks)
    assert found[0, 0, -1, -1] == torch.tensor(math.hypot(399, 299), dtype=torch.float32) < diagonal((400, 300))


def test_the_sign_says_which_side() -> None:
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 0]]).bool()
    assert signed_distance(mask[None, None]).flatten().tolist() == [3, 2, 1, -1, -2, -1, 1]


@pytest.mark.parametrize("space", [(3, 4), (2, 3, 6)])
def test_nothing_is_a_diagonal_away(space: tuple[int, ...]) -> None:
    empty = torch.zeros(2, 1, *space, dtype=torch.bool)
    empty[1, 0, 0] = True
    far = diagonal(space)
    assert far == math.sqrt(sum(side**2 for side in space))
    assert signed_distance(empty)[0].unique().tolist() == pytest.approx([far])
    assert signed_distance(~empty)[0].unique().tolist() == pytest.approx([-far])
    assert not distance_transform(empty)[0].any()
    assert signed_distance(empty)[1].abs().max() < far, "the other item has its own distances"
