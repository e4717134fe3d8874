"""The non-leaking pipe in use: drawn per item, told in labels, exact where nothing is done. Its numbers: see golden."""

import pytest
import torch

from sfumato.data.augmentation.nonleaking import (
    NonLeakingParameters,
    apply_non_leaking,
    apply_to_masks,
    decide_parameters,
    draw_numbers,
)
from sfumato.data.augmentation.pipe import Pipe
from sfumato.data.augmentation.warp import warped
from sfumato.errors import UsageError
from sfumato.randomness import Noise

ALL = Pipe(
    probability=0.5, mirror=1, upend=1, turn=1, whole_shift=1, brightness=1, contrast=1, inversion=1, hue=1,
    saturation=1, largest_angle=180,
)  # fmt: skip


def parameters(pipe: Pipe, seeds: range, *, height: int = 24, width: int = 24) -> NonLeakingParameters:
    return decide_parameters(draw_numbers(Noise(seeds)), pipe, height=height, width=width)


def smooth(items: int, channels: int = 3, height: int = 24, width: int = 24) -> torch.Tensor:
    coarse = Noise(range(items)).normal(torch.empty(items, channels, 6, 6)).clamp(-1, 1)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")


def test_nothing_is_told_and_nothing_done_at_probability_0() -> None:
    images = smooth(8)
    still = parameters(ALL._replace(probability=0.0), range(8))
    assert still.labels.shape == (8, 19) and not still.labels.any()
    assert torch.equal(apply_non_leaking(images, still), images)


def test_items_to_which_nothing_is_done_are_untouched_among_others() -> None:
    images, some = smooth(64), parameters(ALL._replace(probability=0.1), range(64))
    told = (some.labels != 0).any(1)
    assert 8 < told.sum() < 60
    same = (apply_non_leaking(images, some) == images).flatten(1).all(1)
    assert torch.equal(same, ~told), "what is done is told, and what is told is done"


@pytest.mark.parametrize("channels", [1, 3])
def test_an_item_depends_on_its_seed_alone(channels: int) -> None:
    images = smooth(12, channels)
    together = parameters(ALL, range(12))
    for part in (range(5), range(5, 12)):
        alone = parameters(ALL, part)
        assert torch.equal(alone.labels, together.labels[part.start : part.stop])
        rows = slice(part.start, part.stop)
        assert torch.allclose(
            apply_non_leaking(images[rows], alone), apply_non_leaking(images, together)[rows], atol=2e-5
        )


def test_every_operation_is_done_as_often_as_asked() -> None:
    drawn = draw_numbers(Noise(range(1000)))
    pipe = Pipe(probability=0.2, mirror=1e8, upend=1, angle=2, largest_angle=180)
    labels = decide_parameters(drawn, pipe, height=24, width=24).labels
    share = [float((labels[:, k] != 0).float().mean()) for k in (0, 1, 2, 3, 5, 7)]
    assert share == pytest.approx([0.5, 0.1, 0.2, 0.4, 0.2, 0.2], abs=0.04)
    oblique = labels[labels[:, 5] != 0, 6] != 0
    assert float(oblique.float().mean()) == pytest.approx(0.5, abs=0.1)


def test_the_default_keeps_anatomy() -> None:
    labels = parameters(Pipe(probability=1.0), range(500)).labels
    assert labels.shape[1] == Pipe().labels == 9
    assert not labels[:, :2].any(), "no flips"
    assert labels[:, 4].abs().max() <= torch.sin(torch.deg2rad(torch.tensor(15.0))) + 1e-6
    assert (labels[:, 2:] != 0).float().mean(0).min() > 0.4


def test_optional_operations_have_labels_of_their_own() -> None:
    assert (Pipe(turn=1).labels, Pipe(hue=1).labels, ALL.labels) == (13, 15, 19)
    assert parameters(Pipe(inversion=1), range(2)).labels.shape == (2, 15)


def test_images_that_cannot_be_treated_are_refused() -> None:
    with pytest.raises(UsageError, match="4 channels"):
        Pipe(hue=1).check(channels=4, size=(8, 8))
    with pytest.raises(UsageError, match="8 x 12 pixels"):
        Pipe(turn=1).check(channels=1, size=(8, 12))
    Pipe(hue=1, turn=1).check(channels=3, size=(8, 8))
    Pipe(whole_shift=1).check(channels=4, size=(8, 12))


def test_oblong_images_are_rotated_in_pixels() -> None:
    images = torch.zeros(1, 1, 20, 40)
    images[0, 0, 8:12, 24:28] = 1
    quarter = torch.tensor([[[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]])
    out = warped(images, quarter)[0, 0, 0:10, 13:27]
    weights = out.clamp(min=0) / out.clamp(min=0).sum()
    row, column = ((weights.sum(1 - axis) * torch.arange(size)).sum() for axis, size in ((0, 10), (1, 14)))
    assert (float(row), float(column)) == pytest.approx((3.5, 6.5), abs=0.3), "six pixels right became six up"


def test_a_warp_keeps_what_it_does_not_move_and_undoes_itself() -> None:
    images = smooth(2, 1, 32, 20)
    assert torch.allclose(warped(images, torch.eye(3).repeat(2, 1, 1)), images, atol=1e-5)
    there = torch.tensor([[[1.0, 0.1, 2.3], [-0.1, 0.95, -1.2], [0, 0, 1]]]).repeat(2, 1, 1)
    back = warped(warped(images, there), torch.linalg.inv(there))
    inner = (back - images)[..., 10:22, 7:13]
    assert inner.abs().max() < 0.05


def test_grey_pictures_stay_grey_and_black_becomes_white() -> None:
    images = smooth(4, 1)
    inverted = parameters(Pipe(probability=1e9, scale=0, angle=0, stretch=0, shift=0, inversion=1), range(4))
    chosen = inverted.labels[:, 11] > 0
    assert chosen.any() and not chosen.all()
    assert torch.allclose(apply_non_leaking(images, inverted)[chosen], -images[chosen], atol=1e-6)
    assert torch.equal(apply_non_leaking(images, inverted)[~chosen], images[~chosen])


def test_masks_move_with_their_images_and_keep_their_classes() -> None:
    """Of three classes, drawn as grey levels: what geometry does to the picture it does to the mask; colours do not."""
    masks = torch.zeros(64, 32, 32, dtype=torch.uint8)
    masks[:, 6:20, 8:22], masks[:, 10:14, 12:18] = 1, 2
    pipe = Pipe(probability=1.0, mirror=1.0, upend=1.0, turn=1.0, whole_shift=1.0, brightness=1.0, inversion=1.0)
    done = decide_parameters(draw_numbers(Noise(range(64))), pipe, height=32, width=32)
    moved = apply_to_masks(masks, done, classes=3)
    assert moved.dtype == masks.dtype and set(moved.unique().tolist()) <= {0, 1, 2}
    plain = done._replace(colours=torch.eye(4).repeat(64, 1, 1))
    pictures = apply_non_leaking(masks[:, None].float() / 2, plain)[:, 0]
    assert ((pictures * 2 - moved).abs() < 0.75).float().mean() > 0.98
    exact = pipe._replace(scale=0.0, angle=0.0, stretch=0.0, shift=0.0)
    done = decide_parameters(draw_numbers(Noise(range(64))), exact, height=32, width=32)
    plain = done._replace(colours=torch.eye(4).repeat(64, 1, 1))
    assert torch.equal(
        apply_non_leaking(masks[:, None].float(), plain)[:, 0], apply_to_masks(masks, done, classes=3).float()
    )
