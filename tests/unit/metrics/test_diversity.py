"""MS-SSIM against MONAI, the inception score in closed form, duplicates."""

import numpy as np
import pytest
import torch
from monai.metrics.regression import compute_ms_ssim

from sfumato.metrics.diversity import (
    SCALE_WEIGHTS,
    alike,
    draw_pairs,
    inception_score,
    ms_ssim,
    pair_similarities,
    scales_of,
)


@pytest.mark.parametrize(("size", "scales"), [((28, 32), 2), ((64, 64), 3), ((100, 104), 4), ((180, 176), 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_similarity_is_that_of_monai(size: tuple[int, int], scales: int, channels: int):
    torch.manual_seed(0)
    x = torch.rand(3, channels, *size)
    y = (x + 0.2 * torch.randn_like(x)).clamp(0, 1)
    assert scales_of(*size) == (scales, 11)
    weights = [weight / sum(SCALE_WEIGHTS[:scales]) for weight in SCALE_WEIGHTS[:scales]]
    torch.testing.assert_close(ms_ssim(x, y), compute_ms_ssim(x, y, 2, weights=weights)[:, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (10, 10), (21, 50)])
def test_similarity_of_small_images(size: tuple[int, int]):
    x = torch.rand(4, 1, *size)
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(4))
    assert torch.isfinite(ms_ssim(x, 1 - x)).all()


def test_pairs_are_of_different_images_and_come_once():
    pairs = draw_pairs(6, 100, seed=0)
    assert len(pairs) == 15 == len({tuple(pair) for pair in pairs.tolist()})
    assert (pairs[:, 0] != pairs[:, 1]).all() and len(draw_pairs(100, 7, seed=0)) == 7
    images = torch.rand(6, 1, 12, 12) * 2 - 1
    first = ms_ssim((images[pairs[:1, 0]] + 1) / 2, (images[pairs[:1, 1]] + 1) / 2)
    assert pair_similarities(images, pairs)[0] == pytest.approx(first.item(), rel=1e-4)


def test_duplicates_are_found_also_brighter_ones_and_plain_ones():
    images = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images[3] = images[1] * 0.8 + 0.1
    images[5], images[6], images[7] = 0.2, 0.2, -0.7
    images[4] += 0.2 - images[4].mean()  # as bright as the plain ones
    found = alike(images)
    assert sorted(map(tuple, np.argwhere(found).tolist())) == [(1, 3), (3, 1), (5, 6), (6, 5)]


def test_inception_score_in_closed_form():
    sure = np.eye(4)[np.arange(400) % 4]
    assert inception_score(sure, splits=1).value == pytest.approx(4)
    assert inception_score(np.full((40, 4), 0.25)).value == pytest.approx(1)
    assert inception_score(np.eye(4)[np.zeros(40, int)]).value == pytest.approx(1)
    found = inception_score(sure)
    assert found.low <= found.value <= found.high <= 4 + 1e-9 and found.low > 3.5
    with pytest.raises(ValueError, match="10 parts"):
        inception_score(sure[:9])
