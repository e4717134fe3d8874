import pytest
import torch

from sfumato.data.augment import PRESETS, Ranges, apply, draw
from sfumato.diffusion.process import Noise


def batch(size: int = 32, items: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth images whose brightness says the class of each pixel."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    masks = ((x - 0.2) ** 2 + (y + 0.1) ** 2 < 0.25).long() + (x > 0.3).long()
    return (masks.float() - 1)[None, None].repeat(items, 3, 1, 1), masks[None].repeat(items, 1, 1)


def test_none_changes_nothing() -> None:
    images, masks = batch()
    out, moved = apply(images, masks, draw("none", Noise(range(4))))
    assert torch.equal(out, images) and torch.equal(moved, masks)


def test_flips_are_exact_and_go_together() -> None:
    images, masks = torch.randn(64, 1, 33, 33).clamp(-1, 1), torch.randint(0, 3, (64, 33, 33))
    parameters = draw("light", Noise(range(64)))
    parameters = parameters._replace(shift=torch.zeros(64, 2))
    out, moved = apply(images, masks, parameters)
    mirrored = parameters.flips[:, 1]
    assert 16 < mirrored.sum() < 48 and not parameters.flips[:, 0].any()
    assert torch.equal(out[mirrored], images[mirrored].flip(-1)) and torch.equal(out[~mirrored], images[~mirrored])
    assert torch.equal(moved[mirrored], masks[mirrored].flip(-1))


def test_light_shifts_by_whole_pixels() -> None:
    images, masks = torch.rand(1, 1, 50, 50), torch.randint(0, 3, (1, 50, 50))
    parameters = draw("light", Noise([0]))._replace(
        flips=torch.zeros(1, 2, dtype=torch.bool), shift=torch.tensor([[0.041, -0.02]])
    )
    out, moved = apply(images, masks, parameters)
    assert torch.allclose(out[..., :-2, 1:], images[..., 2:, :-1], atol=1e-4)
    assert torch.equal(moved[..., :-2, 1:], masks[..., 2:, :-1])


@pytest.mark.parametrize("preset", ["light", "medium", "heavy"])
def test_masks_move_with_images_and_stay_classes(preset: str) -> None:
    images, masks = batch(items=16)
    parameters = draw(preset, Noise(range(16)))
    still = {"brightness": torch.zeros(16), "contrast": torch.ones(16), "gamma": torch.ones(16)}
    out, moved = apply(images, masks, parameters._replace(**still, blur=torch.zeros(16), noise=torch.zeros(16)))
    assert moved.dtype == torch.int64 and set(moved.unique().tolist()) <= {0, 1, 2}
    agree = (out[:, 0].round() + 1 == moved).float().mean((1, 2))
    assert agree.min() > 0.93
    assert (moved != masks).any()


@pytest.mark.parametrize("preset", PRESETS)
def test_an_item_depends_on_its_seed_alone(preset: str) -> None:
    images, masks = batch(items=3)
    alone = apply(images[:1], masks[:1], draw(preset, Noise([7])))
    among = apply(images, masks, draw(preset, Noise([1, 7, 3])))
    assert torch.allclose(alone[0][0], among[0][1], atol=1e-6) and torch.equal(alone[1][0], among[1][1])
    assert among[0].abs().max() <= 1


def test_a_quarter_turn_of_an_oblong_is_a_rotation_in_pixels() -> None:
    images = torch.zeros(1, 1, 20, 40)
    images[0, 0, 10, 25] = 1  # half a pixel below and five and a half right of the centre
    ranges = Ranges(angle=90)
    parameters = draw("none", Noise([0]))._replace(ranges=ranges, angle=torch.tensor([torch.pi / 2]))
    out, _ = apply(images, None, parameters)
    row, column = divmod(int(out[0, 0].argmax()), 40)
    assert out.max() > 0.99 and (row, column) == (4, 20)


def test_scale_above_one_enlarges() -> None:
    images, masks = batch()
    parameters = draw("none", Noise(range(4)))._replace(ranges=Ranges(scale=1), scale=torch.full((4,), 1.5))
    centred = torch.zeros_like(masks)
    centred[:, 12:20, 12:20] = 1
    assert apply(images, centred, parameters)[1].sum((1, 2)).tolist() == [144] * 4


def test_intensities_follow_their_equation() -> None:
    images = torch.linspace(-1, 1, 9).view(1, 1, 3, 3)
    parameters = draw("none", Noise([0]))._replace(
        ranges=Ranges(brightness=1, contrast=1, gamma=1),
        brightness=torch.tensor([0.1]), contrast=torch.tensor([0.5]), gamma=torch.tensor([2.0]),
    )  # fmt: skip
    level = ((images + 1) / 2) ** 2 * 0.5 + 0.25 + 0.05
    assert torch.allclose(apply(images, None, parameters)[0], 2 * level - 1, atol=1e-6)


def test_blur_and_noise_have_their_width() -> None:
    images = torch.zeros(2, 1, 33, 33)
    images[:, :, 16, 16] = 1
    parameters = draw("none", Noise([0, 1]))._replace(ranges=Ranges(blur=1), blur=torch.tensor([0.0, 1.0]))
    sharp, blurred = apply(images, None, parameters)[0]
    assert torch.equal(sharp, images[0]) and blurred.sum() == pytest.approx(1, abs=1e-5)
    offset = torch.arange(33.0) - 16
    assert (blurred.sum((0, 1)) * offset**2).sum() == pytest.approx(1, abs=0.05)
    parameters = parameters._replace(ranges=Ranges(noise=1), noise=torch.tensor([0.0, 0.1]))
    clean, noisy = apply(torch.zeros(2, 1, 64, 64), None, parameters)[0]
    assert not clean.any() and noisy.std() == pytest.approx(0.1, rel=0.05)
