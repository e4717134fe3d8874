"""Images and masks are augmented together, by numbers of each item alone, and nothing is resampled in vain."""

from typing import Any

import pytest
import torch

from sfumato.data.augmentation.augment import Parameters, apply, draw_parameters
from sfumato.data.augmentation.ranges import PRESETS, Ranges
from sfumato.randomness import Noise

GEOMETRY = Ranges(mirror=0.5, upend=0.5, angle=40, scale=0.2, aspect=0.2, shift=0.1, crop=0.3, elastic=1.5)
EVERYTHING = GEOMETRY._replace(brightness=0.2, contrast=0.2, gamma=0.3, blur=1.0, noise=0.1)
SETTINGS = {**PRESETS, "everything": EVERYTHING}


def batch(size: int = 32, items: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images whose brightness says the class of each pixel."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    masks = ((x - 0.2) ** 2 + (y + 0.1) ** 2 < 0.25).long() + (x > 0.3).long()
    return (masks.float() - 1)[None, None].repeat(items, 3, 1, 1), masks[None].repeat(items, 1, 1)


def still(images: torch.Tensor, ranges: Ranges = PRESETS["none"], **changed: Any) -> Parameters:
    """Parameters that change nothing, with some of their own."""
    parameters = draw_parameters(Ranges(), Noise(range(len(images))), images)
    return parameters._replace(ranges=ranges, **changed)


def test_none_changes_nothing() -> None:
    images, masks = batch()
    out, moved = apply(images, masks, still(images))
    assert torch.equal(out, images) and torch.equal(moved, masks)


def test_flips_are_exact_and_go_together() -> None:
    images, masks = torch.randn(64, 1, 33, 33).clamp(-1, 1), torch.randint(0, 3, (64, 33, 33))
    parameters = draw_parameters(PRESETS["light"], Noise(range(64)), images)
    parameters = parameters._replace(shift=torch.zeros(64, 2))
    out, moved = apply(images, masks, parameters)
    mirrored = parameters.flips[:, 1]
    assert 16 < mirrored.sum() < 48 and not parameters.flips[:, 0].any()
    assert torch.equal(out[mirrored], images[mirrored].flip(-1)) and torch.equal(out[~mirrored], images[~mirrored])
    assert torch.equal(moved[mirrored], masks[mirrored].flip(-1))


def test_items_that_are_still_stay_exact_among_others_that_move() -> None:
    images, masks = torch.rand(3, 1, 20, 30), torch.randint(0, 3, (3, 20, 30))
    flips = torch.tensor([[False, False], [True, False], [False, False]])
    angle = torch.tensor([0.0, 0.0, 0.5])
    out, moved = apply(images, masks, still(images, Ranges(angle=30), flips=flips, angle=angle))
    assert torch.equal(out[0], images[0]) and torch.equal(moved[0], masks[0])
    assert torch.equal(out[1], images[1].flip(-2)) and torch.equal(moved[1], masks[1].flip(-2))
    assert not torch.equal(moved[2], masks[2])


@pytest.mark.parametrize("flip", [(True, False), (False, True), (True, True)])
def test_a_flip_within_the_map_is_a_flip_before_it(flip: tuple[bool, bool]) -> None:
    images = torch.rand(1, 1, 20, 30)
    bend = torch.zeros(1, 2, 5, 5)
    bend[0, :, 1:3, 2] = torch.tensor([[2.0, 1.0], [-1.0, 1.5]])
    move = {
        "angle": torch.tensor([0.4]), "scale": torch.tensor([1.1]), "shift": torch.tensor([[0.1, -0.05]]), "bend": bend,
    }  # fmt: skip
    axes = [axis for axis, chosen in zip((-2, -1), flip, strict=True) if chosen]
    turned, _ = apply(images, None, still(images, GEOMETRY, flips=torch.tensor([flip]), **move))
    expected, _ = apply(images.flip(axes), None, still(images, GEOMETRY, **move))
    assert torch.allclose(turned, expected, atol=1e-4)


def test_light_shifts_by_whole_pixels() -> None:
    images, masks = torch.rand(1, 1, 50, 50), torch.randint(0, 3, (1, 50, 50))
    out, moved = apply(images, masks, still(images, PRESETS["light"], shift=torch.tensor([[0.041, -0.02]])))
    assert torch.allclose(out[..., :-2, 1:], images[..., 2:, :-1], atol=1e-4)
    assert torch.equal(moved[..., :-2, 1:], masks[..., 2:, :-1])


@pytest.mark.parametrize("ranges", [PRESETS["light"], PRESETS["medium"], PRESETS["heavy"], GEOMETRY])
def test_masks_move_with_images_and_stay_classes(ranges: Ranges) -> None:
    images, masks = batch(items=16)
    parameters = draw_parameters(ranges, Noise(range(16)), images)
    plain = {"brightness": torch.zeros(16), "contrast": torch.ones(16), "gamma": torch.ones(16)}
    out, moved = apply(images, masks, parameters._replace(**plain, blur=torch.zeros(16), noise=torch.zeros(16)))
    assert moved is not None and moved.dtype == torch.int64 and set(moved.unique().tolist()) <= {0, 1, 2}
    agree = (out[:, 0].round() + 1 == moved).float().mean((1, 2))
    assert agree.min() > 0.93
    assert (moved != masks).any()


def test_ignored_pixels_stay_ignored() -> None:
    images, masks = batch(items=8)
    masks[:, 4:9] = 255
    moved = apply(images, masks, draw_parameters(EVERYTHING, Noise(range(8)), images))[1]
    assert moved is not None and set(moved.unique().tolist()) <= {0, 1, 2, 255} and (moved == 255).any((1, 2)).all()


def test_stored_masks_move_as_any_integers_do() -> None:
    images, _ = batch(items=8)
    masks = torch.randint(0, 256, (8, 32, 32))
    parameters = draw_parameters(EVERYTHING, Noise(range(8)), images)
    moved, stored = apply(images, masks, parameters)[1], apply(images, masks.byte(), parameters)[1]
    assert moved is not None and stored is not None
    assert stored.dtype == torch.uint8 and torch.equal(stored.long(), moved)


@pytest.mark.parametrize("name", ["light", "medium", "everything"])
def test_large_batches_are_what_their_parts_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = batch(items=7)
    parameters = draw_parameters(SETTINGS[name], Noise(range(7)), images)
    whole, whole_masks = apply(images, masks, parameters)
    monkeypatch.setattr("sfumato.data.augmentation.augment.PIXELS_AT_ONCE", 3 * 32 * 32)
    parts, parts_masks = apply(images, masks, parameters)
    assert whole_masks is not None and parts_masks is not None
    assert torch.allclose(parts, whole, atol=1e-6) and torch.equal(parts_masks, whole_masks)
    assert torch.equal(apply(images, None, parameters)[0], parts)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_item_depends_on_its_seed_alone(name: str) -> None:
    images, masks = batch(items=3)
    alone, alone_mask = apply(images[:1], masks[:1], draw_parameters(SETTINGS[name], Noise([7]), images[:1]))
    among, among_masks = apply(images, masks, draw_parameters(SETTINGS[name], Noise([1, 7, 3]), images))
    assert alone_mask is not None and among_masks is not None
    assert torch.allclose(alone[0], among[1], atol=1e-6) and torch.equal(alone_mask[0], among_masks[1])
    assert among.abs().max() <= 1
    assert name == "none" or not torch.equal(among[0], among[2])


def test_a_quarter_turn_of_an_oblong_is_a_rotation_in_pixels() -> None:
    images = torch.zeros(1, 1, 20, 40)
    images[0, 0, 10, 25] = 1  # half a pixel below and five and a half right of the centre
    out, _ = apply(images, None, still(images, Ranges(angle=90), angle=torch.tensor([torch.pi / 2])))
    assert out[0, 0, 4, 20] > 0.99 and out[0, 0, 3:6, 18:23].sum() == pytest.approx(1, abs=1e-4)


def test_scale_above_one_enlarges() -> None:
    images, masks = batch()
    centred = torch.zeros_like(masks)
    centred[:, 12:20, 12:20] = 1
    moved = apply(images, centred, still(images, Ranges(scale=1), scale=torch.full((4,), 1.5)))[1]
    assert moved is not None and moved.sum((1, 2)).tolist() == [144] * 4


def test_aspect_above_one_widens() -> None:
    images = torch.zeros(1, 1, 32, 32)
    centred = torch.zeros(1, 32, 32, dtype=torch.int64)
    centred[:, 12:20, 12:20] = 1
    moved = apply(images, centred, still(images, Ranges(aspect=1), aspect=torch.tensor([4.0])))[1]
    assert moved is not None
    middle = moved[0, 8:24]  # beside it the reflection is seen
    assert (int(middle.amax(0).sum()), int(middle.amax(1).sum())) == (16, 4)


@pytest.mark.parametrize(("window", "corner"), [((-1.0, -1.0), (0, 0)), ((1.0, -1.0), (10, 0)), ((1.0, 1.0), (10, 20))])
def test_a_crop_enlarges_a_part_that_lies_inside(window: tuple[float, float], corner: tuple[int, int]) -> None:
    images = torch.rand(1, 1, 20, 40)
    masks = torch.arange(800).view(1, 20, 40)
    parameters = still(images, Ranges(crop=0.5), crop=torch.tensor([0.5]), window=torch.tensor([window]))
    moved = apply(images, masks, parameters)[1]
    row, column = corner
    expected = masks[:, row : row + 10, column : column + 20].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(moved, expected)


def test_elastic_moves_by_the_pixels_of_its_nodes() -> None:
    images = torch.rand(1, 1, 33, 65)
    bend = torch.zeros(1, 2, 5, 5)
    bend[0, 0], bend[0, 1] = 3.0, -2.0
    out, _ = apply(images, None, still(images, Ranges(elastic=3), bend=bend))
    assert torch.allclose(out[..., 2:, :-3], images[..., :-2, 3:], atol=1e-4)
    bend[0, :, 2, 2] = torch.tensor([7.0, -6.0])
    out, _ = apply(images, None, still(images, Ranges(elastic=3), bend=bend))
    assert out[0, 0, 16, 32] == pytest.approx(float(images[0, 0, 10, 39]), abs=1e-4), "the node of the centre"


def test_drawn_numbers_stay_in_their_ranges_and_reach_them() -> None:
    images = torch.zeros(400, 1, 4, 4)
    drawn = draw_parameters(EVERYTHING, Noise(range(400)), images)
    assert drawn.bend is not None
    for values, low, high in (
        (drawn.angle, -0.698, 0.698), (drawn.scale.log(), -0.2, 0.2), (drawn.aspect.log(), -0.2, 0.2),
        (drawn.shift, -0.1, 0.1), (drawn.crop, 0, 0.3), (drawn.window, -1, 1), (drawn.bend, -1.5, 1.5),
        (drawn.brightness, -0.2, 0.2), (drawn.contrast.log(), -0.2, 0.2), (drawn.gamma.log(), -0.3, 0.3),
        (drawn.blur, 0, 1), (drawn.noise, 0, 0.1),
    ):  # fmt: skip
        assert low <= values.min() < low + 0.05 * (high - low) and high - 0.05 * (high - low) < values.max() <= high
    assert drawn.flips.float().mean(0).tolist() == pytest.approx([0.5, 0.5], abs=0.1)
    assert float((drawn.noise == 0).float().mean()) == pytest.approx(0.5, abs=0.1)


def test_intensities_follow_their_equation() -> None:
    images = torch.linspace(-1, 1, 9).view(1, 1, 3, 3)
    numbers = {"brightness": torch.tensor([0.1]), "contrast": torch.tensor([0.5])}
    bright, _ = apply(images, None, still(images, Ranges(brightness=1, contrast=1), **numbers))
    assert torch.allclose(bright, images * 0.5 + 0.1, atol=1e-6)
    numbers["gamma"] = torch.tensor([2.0])
    level = ((images + 1) / 2) ** 2 * 0.5 + 0.25 + 0.05
    out, _ = apply(images, None, still(images, Ranges(gamma=1), **numbers))
    assert torch.allclose(out, 2 * level - 1, atol=1e-6)


def test_blur_and_noise_have_their_width() -> None:
    images = torch.zeros(2, 1, 33, 33)
    images[:, :, 16, 16] = 1
    sharp, blurred = apply(images, None, still(images, Ranges(blur=1), blur=torch.tensor([0.0, 1.0])))[0]
    assert torch.equal(sharp, images[0]) and blurred.sum() == pytest.approx(1, abs=1e-5)
    offset = torch.arange(33.0) - 16
    assert (blurred.sum((0, 1)) * offset**2).sum() == pytest.approx(1, abs=0.05)
    wide = apply(images, None, still(images, Ranges(blur=3), blur=torch.tensor([0.0, 3.0])))[0][1]
    assert (wide.sum((0, 1)) * offset**2).sum() == pytest.approx(9, abs=0.5)
    flat = torch.zeros(2, 1, 64, 64)
    grain = Noise([0, 1]).normal(flat)
    clean, noisy = apply(flat, None, still(flat, Ranges(noise=1), noise=torch.tensor([0.0, 0.1]), grain=grain))[0]
    assert not clean.any() and noisy.std() == pytest.approx(0.1, rel=0.05)
