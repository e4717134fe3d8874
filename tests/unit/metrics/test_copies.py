"""Aligned correlation: it is its definition, finds what was done to an image, and loses nothing by its short cuts."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from sfumato.metrics.copies import NEXT, QUERIES_AT_ONCE, SIDE, SOFT, Matches, View, aligned, compared, nearest


def textures(count: int, *, seed: int, size: tuple[int, int] = (16, 16), channels: int = 1) -> torch.Tensor:
    noise = np.random.default_rng(seed).normal(size=(count, channels, *size))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 1, 1))
    return torch.tensor(np.tanh(smooth / smooth.std()), dtype=torch.float32)


def defined(query: np.ndarray, reference: np.ndarray, *, shifts: int) -> tuple[float, View]:
    """Equation (2) without rotations, word for word."""
    height, width = (size - 2 * shifts for size in query.shape[1:])

    def crop(image: np.ndarray, down: int, right: int) -> np.ndarray:
        cut = image[:, shifts + down : shifts + down + height, shifts + right : shifts + right + width]
        free = (cut - cut.mean((1, 2), keepdims=True)).ravel()
        return free / np.linalg.norm(free)

    scores = {
        View(0, mirrored, 0.0, down, right): float(crop(pose, down, right) @ crop(reference, 0, 0))
        for mirrored, pose in ((False, query), (True, query[..., ::-1]))
        for down in range(-shifts, shifts + 1)
        for right in range(-shifts, shifts + 1)
    }
    best = max(scores, key=lambda view: scores[view])
    return scores[best], best


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((14, 19), 3)])
def test_score_lead_and_view_are_their_definitions(size: tuple[int, int], channels: int) -> None:
    queries, references = (textures(12, seed=k, size=size, channels=channels) for k in (0, 1))
    found = nearest(queries, references, shifts=2, angles=(0.0,))
    assert len(set(found.nearest.tolist())) > 4
    for row, query in enumerate(queries.numpy()):
        scores = [defined(query, reference, shifts=2) for reference in references.numpy()]
        order = sorted(range(12), key=lambda k: -scores[k][0])
        assert found.nearest[row] == order[0]
        assert found.score[row] == pytest.approx(scores[order[0]][0], abs=1e-5)
        assert found.view[row] == scores[order[0]][1]
        others = np.mean([1 - scores[k][0] for k in order[1 : 1 + NEXT]])
        assert found.lead[row] == pytest.approx(1 - (1 - found.score[row]) / (others + SOFT), abs=1e-4)


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(mirrored=True, down=2, right=-1),
        View(angle=2.5),
        View(angle=-5.0, down=-1),
        View(turns=1, mirrored=True, right=1),
        View(turns=3, down=-2),
    ],
)
@pytest.mark.parametrize("size", [(28, 28), (40, 24)])
def test_what_was_done_to_an_image_is_found_and_can_be_shown(view: View, size: tuple[int, int]) -> None:
    if view.turns and size[0] != size[1]:
        view = view._replace(turns=2)
    references = textures(20, seed=2, size=size)
    done = undone(references[3:4], view)
    found = nearest(done, references, turns=True)
    assert found.nearest[0] == 3 and found.view[0] == view
    assert found.score[0] > (0.93 if view.angle else 0.9999)  # a rotation blurs
    inner = (aligned(done, found.view[0]) - references[3:4])[..., 6:-6, 6:-6]
    assert inner.abs().mean() < (0.12 if view.angle else 1e-5)


def undone(image: torch.Tensor, view: View) -> torch.Tensor:
    """The image that `view` brings back; by scipy, which knows nothing of ours."""
    pixels = np.roll(image[0].numpy(), (view.down, view.right), (1, 2))
    if view.angle:
        pixels = ndimage.rotate(pixels, -view.angle, axes=(1, 2), reshape=False, order=3, mode="nearest")
    if view.mirrored:
        pixels = pixels[..., ::-1]
    return torch.tensor(np.rot90(pixels, -view.turns, (1, 2)).copy(), dtype=torch.float32)[None]


def test_contrast_and_brightness_do_not_matter() -> None:
    queries, references = textures(5, seed=3), textures(30, seed=4)
    plain, windowed = nearest(queries, references), nearest(0.2 * queries - 0.7, references)
    assert (plain.nearest == windowed.nearest).all() and plain.view == windowed.view
    np.testing.assert_allclose(plain.score, windowed.score, atol=1e-5)


@pytest.mark.parametrize("size", [(28, 28), (64, 64)])
def test_the_shortlist_loses_nothing(size: tuple[int, int]) -> None:
    queries, references = textures(12, seed=5, size=size), textures(60, seed=6, size=size)
    quick, slow = nearest(queries, references), nearest(queries, references, shortlist=60)
    assert np.abs(quick.score - slow.score).max() < 0.02
    copies = nearest(queries.flip(3), torch.cat([references, queries]))
    assert (copies.nearest == 60 + np.arange(12)).all() and copies.score.min() > 0.9999


def test_an_image_is_judged_alone_whatever_stands_beside_it() -> None:
    queries, references = textures(QUERIES_AT_ONCE + 7, seed=7, size=(9, 9)), textures(40, seed=8, size=(9, 9))
    together = nearest(queries, references)
    for row in (0, QUERIES_AT_ONCE - 1, QUERIES_AT_ONCE, QUERIES_AT_ONCE + 6):
        alone = nearest(queries[row : row + 1], references)
        assert alone.nearest[0] == together.nearest[row] and alone.view[0] == together.view[row]
        assert alone.score[0] == pytest.approx(together.score[row], abs=1e-6)


def test_an_image_can_be_left_out_of_its_own_references() -> None:
    images = textures(QUERIES_AT_ONCE + 4, seed=9, size=(9, 9))
    own, others = nearest(images, images), nearest(images, images, exclude_self=True)
    assert (own.nearest == np.arange(len(images))).all() and (others.nearest != np.arange(len(images))).all()
    chosen = [2, QUERIES_AT_ONCE + 1]
    some = nearest(images[chosen], images, exclude=chosen)
    assert (some.nearest == others.nearest[chosen]).all()


def test_what_is_not_asked_for_is_not_tried() -> None:
    references = textures(30, seed=10, size=(20, 20))
    mirrored, turned = references[:4].flip(3), references[:4].rot90(1, (2, 3))
    assert nearest(mirrored, references).score.min() > 0.9999 > nearest(mirrored, references, flips=False).score.max()
    assert nearest(turned, references, turns=True).score.min() > 0.9999 > nearest(turned, references).score.max()
    tall = textures(5, seed=11, size=(20, 12))
    assert nearest(tall.rot90(2, (2, 3)), tall, turns=True).score.min() > 0.9999


def test_an_image_of_one_value_is_like_none() -> None:
    images = torch.cat([torch.full((2, 1, 16, 16), 0.3), textures(5, seed=12)])
    assert nearest(images[:2], images).score.max() < 1e-3
    assert nearest(images[2:], images[:2]).score.max() < 1e-3
    alone = nearest(images[2:4], images[4:5])
    np.testing.assert_allclose(alone.lead, alone.score.clip(0), atol=1e-3)


def test_large_images_are_compared_at_a_smaller_size() -> None:
    large = textures(3, seed=13, size=(2 * SIDE, SIDE))
    assert compared(large).shape == (3, 1, SIDE, SIDE // 2)
    found = nearest(large.roll(4, 2), large)
    assert (found.nearest == np.arange(3)).all() and {view.down for view in found.view} == {2}
    assert (aligned(large.roll(4, 2), found.view[0]) - large)[:, :, 10:-10].abs().max() < 1e-5
    assert compared(large[:, :, :20, :20]).shape == (3, 1, 20, 20)


def test_views_read_as_words() -> None:
    assert str(View()) == "as it is"
    assert str(View(1, True, -2.5, 1, -2)) == "turned 90; mirrored; tilted -2.5; moved +1 -2"


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="no comparison"):
        nearest(textures(2, seed=0), textures(2, seed=0, channels=3))
    with pytest.raises(ValueError, match="no comparison"):
        nearest(textures(1, seed=0), textures(1, seed=0), exclude_self=True)
    with pytest.raises(ValueError, match="leave nothing"):
        nearest(textures(1, seed=0), textures(1, seed=0), shifts=8)
    assert isinstance(nearest(textures(2, seed=0)[:0], textures(2, seed=0)), Matches)
