"""One map for planes and volumes, read from a larger crop: where things go, that masks go with them, what is exact."""

import math
from typing import Any

import pytest
import torch

from sfumato.data.augmentation import geometry
from sfumato.data.augmentation.augment import Parameters, apply, draw_parameters, margin
from sfumato.data.augmentation.geometry import centre, smooth
from sfumato.data.augmentation.ranges import Ranges
from sfumato.randomness import Noise

MOVES = Ranges(angle=40, tilt=0.7, scale=0.2, aspect=0.2, shift=0.1, crop=0.2)
GEOMETRY = MOVES._replace(mirror=0.5, upend=0.5, flip_depth=0.5, elastic=1.0)
EVERYTHING = GEOMETRY._replace(
    brightness=0.2, contrast=0.2, gamma=0.3, bias_field=0.4, blur=1.0, low_resolution=1.0, noise=0.1
)
QUARTER = torch.tensor([math.pi / 2])
PLANE, VOLUME = (20, 26), (12, 20, 26)


def still(images: torch.Tensor, ranges: Ranges, **changed: Any) -> Parameters:
    """Parameters that change nothing, with some of their own."""
    parameters = draw_parameters(Ranges(), Noise(range(len(images))), images)
    return parameters._replace(ranges=ranges, **changed)


def offsets(size: tuple[int, ...]) -> list[torch.Tensor]:
    """Each pixel's distance from the centre, along each axis."""
    return list(torch.meshgrid(*[torch.arange(side) - (side - 1) / 2 for side in size], indexing="ij"))


def blob(size: tuple[int, ...], radius: float = 6.0, away: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    """An image that falls by 0.05 a pixel outwards and is 0 at the edge of a ball, and the ball as a mask."""
    distance = sum((offset - away) ** 2 for offset in offsets(size)) ** 0.5
    image = ((radius - distance) * 0.05).clamp(-1, 1)
    return image[None, None], (image > 0)[None].byte()


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("beside", [0, 6, 7])
def test_a_ramp_keeps_its_values_and_is_shifted_by_pixels(size: tuple[int, ...], beside: int) -> None:
    slopes = [0.01, -0.007, 0.004]
    whole = tuple(side + beside for side in size)
    ramp = torch.stack([slope * offset for slope, offset in zip(slopes, offsets(whole), strict=False)]).sum(0)[
        None, None
    ]
    out, _ = apply(ramp, None, still(ramp, Ranges(angle=1)), size=size)
    assert torch.equal(out, centre(ramp, size)) and out.shape[2:] == size
    pixels = [1.25, -2.5, 0.75][: len(size)]
    share = torch.tensor([[pixel / side for pixel, side in zip(pixels, size, strict=True)]])
    out, _ = apply(ramp, None, still(ramp, Ranges(angle=1, shift=1), shift=share), size=size)
    gain = sum(slope * pixel for slope, pixel in zip(slopes, pixels, strict=False))
    expected = centre(ramp, size) + gain
    inner = (..., *[slice(3, -3)] * len(size))
    assert torch.allclose(out[inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize("beside", [0, 5])
def test_quarter_turns_are_those_of_torch(beside: int) -> None:
    images, volumes = torch.rand(1, 2, 16 + beside, 16 + beside), torch.rand(1, 2, *[16 + beside] * 3)
    masks = torch.randint(0, 9, (1, *[16 + beside] * 3))
    size = (16, 16)
    out, _ = apply(images, None, still(images, Ranges(angle=90), angle=QUARTER), size=size)
    assert torch.allclose(out, centre(images, size).rot90(1, (-2, -1)), atol=2e-5)
    for plane, numbers in (
        ((-2, -1), {"angle": QUARTER}),
        ((-3, -2), {"tilt": torch.tensor([[math.pi / 2, 0]])}),
        ((-3, -1), {"tilt": torch.tensor([[0, math.pi / 2]])}),
    ):
        out, moved = apply(volumes, masks, still(volumes, Ranges(angle=90, tilt=1), **numbers), size=(16, 16, 16))
        assert moved is not None
        assert torch.allclose(out, centre(volumes, (16, 16, 16)).rot90(1, plane), atol=2e-5)
        assert torch.equal(moved, centre(masks, (16, 16, 16)).rot90(1, plane))


@pytest.mark.parametrize("size", [PLANE, VOLUME])
@pytest.mark.parametrize("only", [*MOVES._fields, None])
def test_the_edge_of_a_mask_lies_on_the_edge_in_the_image(size: tuple[int, ...], only: str | None) -> None:
    ranges = GEOMETRY if only is None else Ranges(**{only: getattr(GEOMETRY, only), "angle": GEOMETRY.angle})
    image, mask = blob(tuple(side + 10 for side in size))
    images, masks = image.repeat(8, 1, *[1] * len(size)), mask.repeat(8, *[1] * len(size))
    out, moved = apply(images, masks, draw_parameters(ranges, Noise(range(8)), images, size), size=size)
    assert moved is not None and moved.shape == (8, *size) and moved.dtype == torch.uint8
    far = out[:, 0].abs() > 0.05 * len(size) / 2 + 1e-4  # the nearest pixel is half a pixel away along each axis
    assert far.float().mean() > 0.5 and torch.equal((out[:, 0] > 0)[far], moved.bool()[far])
    assert (moved != centre(masks, size)).any(), "something moved"


@pytest.mark.parametrize(
    ("size", "spacing"), [(PLANE, None), (PLANE, (2.0, 1.0)), ((20, 20, 26), None), (VOLUME, (2.0, 1.0, 0.9))]
)
def test_a_crop_with_its_margin_is_the_middle_of_the_whole(
    size: tuple[int, ...], spacing: tuple[float, ...] | None
) -> None:
    ranges = GEOMETRY._replace(angle=10, tilt=0.4, scale=0.1, aspect=0.1, shift=0.03, elastic=0.3)
    whole = torch.rand(12, 1, *[side * 3 for side in size])
    masks = torch.randint(0, 4, (12, *whole.shape[2:]))
    beside = margin(ranges, size, spacing)
    assert all(0 < pixels < side // 2 for pixels, side in zip(beside, size, strict=True)), "not at the cap"
    crop = [side + 2 * pixels for side, pixels in zip(size, beside, strict=True)]
    parameters = draw_parameters(ranges, Noise(range(12)), whole, size)
    out, moved = apply(whole, masks, parameters, size, spacing)
    cut, cut_mask = apply(centre(whole, crop), centre(masks, crop), parameters, size, spacing)
    assert moved is not None and cut_mask is not None
    assert torch.allclose(out, cut, atol=5e-5)
    assert (moved != cut_mask).float().mean() < 1e-3, "but for ties"


def test_the_whole_augmented_has_the_crop_in_its_middle() -> None:
    ranges = MOVES._replace(crop=0.0)
    for size in (PLANE, VOLUME):
        whole = torch.rand(4, 1, *[side * 2 for side in size])
        parameters = draw_parameters(ranges, Noise(range(4)), whole)
        halved = parameters._replace(shift=parameters.shift / 2)
        assert torch.allclose(
            centre(apply(whole, None, halved)[0], size), apply(whole, None, parameters, size)[0], atol=5e-5
        )


@pytest.mark.parametrize("size", [(33, 33), (17, 40), (9, 33, 33), (32, 20, 26)])
@pytest.mark.parametrize("name", ["angle", "scale", "aspect", "shift", "crop", "elastic", "tilt", "all"])
def test_nothing_is_read_beside_the_margin(size: tuple[int, ...], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    far = Ranges(angle=8, tilt=0.6, scale=0.05, aspect=0.1, shift=0.02, crop=0.1, elastic=0.3)
    ranges = far if name == "all" else Ranges(**{name: getattr(far, name)}, **({"angle": 8} if name == "tilt" else {}))
    spacing = (2.0, 1.0, 1.0)[-len(size) :]
    beside = margin(ranges, size, spacing)
    given = [side + 2 * pixels for side, pixels in zip(size, beside, strict=True)]
    images = torch.zeros(60, 1, *given)
    drawn = draw_parameters(ranges, Noise(range(60)), images, size)
    seen = []
    plain = geometry._grid

    def watched(*given: Any) -> torch.Tensor:
        seen.append(((plain(*given).abs()) * torch.tensor(given[2][::-1])).flatten(0, -2).amax(0).flip(0) / 2 + 0.5)
        return plain(*given)

    monkeypatch.setattr(geometry, "_grid", watched)
    monkeypatch.setattr(geometry, "_keeps_planes", lambda *motion: not motion)
    monkeypatch.setattr("sfumato.data.augmentation.augment.PIXELS_AT_ONCE", 2**30)
    apply(images, None, _furthest(drawn), size, spacing)
    if not seen:
        assert beside == (0,) * len(size)
        return
    read = torch.stack(seen).amax(0)  # from the centre, in pixels, with the half of a pixel
    assert (read <= torch.tensor(given) / 2 + 1e-3).all()
    if len(size) == 2 and name not in {"elastic", "all"}:
        assert (read > torch.tensor(given) / 2 - 1.01).all(), "and no more than that"


def _furthest(drawn: Parameters) -> Parameters:
    """Numbers at the ends of their ranges, with the signs that were drawn."""
    ranges = drawn.ranges
    tilt = None if drawn.tilt is None else drawn.tilt.sign() * math.radians(ranges.angle) * ranges.tilt
    bend = None if drawn.bend is None else drawn.bend.sign() * ranges.elastic
    return drawn._replace(
        angle=drawn.angle.sign() * math.radians(ranges.angle), scale=torch.exp(drawn.scale.log().sign() * ranges.scale),
        aspect=torch.exp(drawn.aspect.log().sign() * ranges.aspect), shift=drawn.shift.sign() * ranges.shift,
        window=drawn.window.sign(), tilt=tilt, bend=bend,
    )  # fmt: skip


def test_the_margin_is_no_more_than_half_a_side_and_nothing_for_flips() -> None:
    assert margin(Ranges(mirror=0.5, upend=0.5, flip_depth=0.5, gamma=1, tilt=1), VOLUME) == (0, 0, 0)
    assert margin(Ranges(angle=180, scale=1), (20, 31)) == (10, 15)
    assert margin(Ranges(shift=0.1), (20, 31)) == (2, 4)
    assert margin(Ranges(angle=180), (33, 33)) == (7, 7), "half of the diagonal"
    assert margin(Ranges(angle=180, tilt=1), (33, 33, 33)) == (12, 12, 12), "half of a cube's diagonal"


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0])
def test_planes_that_stay_planes_are_read_as_by_the_whole_map(shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    ranges = GEOMETRY._replace(tilt=0, elastic=0, shift=shift)
    volumes, masks = torch.rand(16, 2, 9, 20, 26), torch.randint(0, 256, (16, 9, 20, 26)).byte()
    parameters = draw_parameters(ranges, Noise(range(16)), volumes, (8, 16, 16))
    out, moved = apply(volumes, masks, parameters, (8, 16, 16))
    monkeypatch.setattr(geometry, "_keeps_planes", lambda *motion: not motion)
    monkeypatch.setattr(geometry, "_through", None)
    expected, expected_masks = apply(volumes, masks, parameters, (8, 16, 16))
    assert moved is not None and expected_masks is not None
    assert torch.allclose(out, expected, atol=5e-5) and (moved != expected_masks).float().mean() < 1e-3


def test_volumes_are_reflected_as_torch_does_it() -> None:
    places = torch.rand(1, 6, 7, 8, 3) * 8 - 4
    volume = torch.rand(1, 1, 5, 6, 7)
    read = torch.nn.functional.grid_sample(volume, places, padding_mode="reflection", align_corners=False)
    assert torch.allclose(geometry._sampled(volume, places, "bilinear"), read, atol=2e-5)


@pytest.mark.parametrize("size", [PLANE, VOLUME])
def test_an_item_depends_on_its_seed_alone(size: tuple[int, ...]) -> None:
    images, masks = torch.rand(3, 2, *size) * 2 - 1, torch.randint(0, 3, (3, *size))
    smaller = tuple(side - 4 for side in size)
    alone, alone_mask = apply(
        images[1:2], masks[1:2], draw_parameters(EVERYTHING, Noise([7]), images[1:2], smaller), smaller
    )
    among, among_masks = apply(images, masks, draw_parameters(EVERYTHING, Noise([1, 7, 3]), images, smaller), smaller)
    assert alone_mask is not None and among_masks is not None and among.shape == (3, 2, *smaller)
    assert torch.allclose(alone[0], among[1], atol=1e-6) and torch.equal(alone_mask[0], among_masks[1])
    assert among.abs().max() <= 1


def test_labels_stay_labels_the_ignored_ones_too() -> None:
    volumes, masks = torch.rand(8, 1, *VOLUME), torch.randint(0, 3, (8, *VOLUME)).byte()
    masks[:, :, 4:9] = 255
    for ranges in (EVERYTHING, EVERYTHING._replace(tilt=0, elastic=0)):
        moved = apply(volumes, masks, draw_parameters(ranges, Noise(range(8)), volumes))[1]
        assert moved is not None and set(moved.unique().tolist()) == {0, 1, 2, 255}
        assert (moved == 255).flatten(1).any(1).all() and (moved != masks).any()


def test_still_items_are_cut_exactly_among_others() -> None:
    volumes, masks = torch.rand(3, 1, *VOLUME), torch.randint(0, 3, (3, *VOLUME))
    flips = torch.tensor([[False, False, False], [True, False, True], [False, False, False]])
    numbers = {"flips": flips, "angle": torch.tensor([0.0, 0.0, 0.5])}
    size = (9, 15, 26)
    out, moved = apply(volumes, masks, still(volumes, Ranges(angle=30), **numbers), size)
    assert moved is not None
    assert torch.equal(out[0], volumes[0, :, 1:10, 2:17]) and torch.equal(moved[0], masks[0, 1:10, 2:17])
    assert torch.equal(out[1], volumes[1, :, 1:10, 2:17].flip(-3, -1))
    assert torch.equal(moved[1], masks[1, 1:10, 2:17].flip(-3, -1))
    assert not torch.equal(moved[2], centre(masks, size)[2])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_flip_within_the_map_is_a_flip_before_it(axis: int) -> None:
    volumes = torch.rand(1, 1, *VOLUME)
    move = {
        "angle": torch.tensor([0.4]),
        "tilt": torch.tensor([[0.2, -0.3]]),
        "shift": torch.tensor([[0.1, -0.1, 0.05]]),
    }
    flips = torch.tensor([[axis == 0, axis == 1, axis == 2]])
    turned, _ = apply(volumes, None, still(volumes, GEOMETRY, flips=flips, **move))
    expected, _ = apply(volumes.flip(axis - 3), None, still(volumes, GEOMETRY, **move))
    assert torch.allclose(turned, expected, atol=1e-4)


@pytest.mark.parametrize("numbers", [{"tilt": torch.tensor([[0.5, -0.4]])}, {"angle": torch.tensor([0.7])}])
def test_a_ball_in_millimetres_stays_a_ball(numbers: dict[str, torch.Tensor]) -> None:
    spacing = (3.0, 1.0, 1.0) if "tilt" in numbers else (1.0, 3.0, 1.0)
    radius, pixel = (20.0 if "tilt" in numbers else 8.0), math.sqrt(11) / 2  # half of the diagonal of a voxel
    far = [side * step / 2 for side, step in zip((24, 64, 64), spacing, strict=True)]
    distance = sum((offset * step) ** 2 for offset, step in zip(offsets((24, 64, 64)), spacing, strict=True)) ** 0.5
    masks = (distance < radius)[None].byte()
    volumes = masks[:, None].float()
    parameters = still(volumes, Ranges(angle=90, tilt=1), **numbers)
    moved, distorted = (apply(volumes, masks, parameters, spacing=told)[1] for told in (spacing, None))
    assert moved is not None and distorted is not None and (moved != masks).any()

    def is_ball(mask: torch.Tensor) -> bool:
        beside = (distance > radius + pixel) & (distance < min(far))  # beyond, the reflection is seen
        return bool(mask[0][distance < radius - pixel].all() and not mask[0][beside].any())

    assert is_ball(moved) and not is_ball(distorted)


def test_a_point_is_tilted_in_millimetres() -> None:
    volumes = torch.zeros(1, 1, 21, 61, 61)
    volumes[0, 0, 10, 30, 50] = 1  # 20 mm right of the centre
    tilt = torch.tensor([[0.0, math.asin(0.6)]])
    out, _ = apply(volumes, None, still(volumes, Ranges(angle=90, tilt=1), tilt=tilt), spacing=(3.0, 1.0, 1.0))
    weight = out[0, 0] / out.sum()
    place = [float((weight * offset).sum()) for offset in offsets((21, 61, 61))]
    assert place == pytest.approx([-4, 0, 16], abs=0.2), "12 mm in planes of 3 mm, and 16 mm across"


def test_bends_pass_through_their_nodes_and_are_pixels_of_the_finest_axis() -> None:
    nodes = torch.rand(2, 3, 5, 5, 5)
    field = smooth(nodes, (9, 17, 21))
    assert field.shape == (2, 3, 9, 17, 21) and torch.allclose(field[..., ::2, ::4, ::5], nodes, atol=1e-5)
    flat = nodes[:, :, :1].expand(-1, -1, 5, -1, -1)
    assert torch.allclose(smooth(flat, (6, 17, 21))[:, :, 3], smooth(flat[:, :, 0], (17, 21)), atol=1e-5)
    volumes, bend = torch.rand(1, 1, 13, 20, 26), torch.zeros(1, 3, 5, 5, 5)
    bend[0, 0], bend[0, 1], bend[0, 2] = 3.0, -2.0, 3.0
    parameters = still(volumes, Ranges(elastic=3), bend=bend)
    out, _ = apply(volumes, None, parameters, spacing=(3.0, 1.0, 1.0))
    assert torch.allclose(out[..., :-1, 2:, :-3], volumes[..., 1:, :-2, 3:], atol=1e-4)
    out, _ = apply(volumes, None, parameters)
    assert torch.allclose(out[..., :-3, 2:, :-3], volumes[..., 3:, :-2, 3:], atol=1e-4)


def test_crops_of_volumes_lie_inside_and_are_enlarged() -> None:
    masks = torch.arange(8 * 20 * 40).view(1, 8, 20, 40)
    volumes = torch.rand(1, 1, 8, 20, 40)
    numbers = {"crop": torch.tensor([0.5]), "window": torch.tensor([[1.0, -1.0, 1.0]])}
    moved = apply(volumes, masks, still(volumes, Ranges(crop=0.5), **numbers))[1]
    expected = masks[:, 4:, :10, 20:]
    for axis in (1, 2, 3):
        expected = expected.repeat_interleave(2, axis)
    assert moved is not None and torch.equal(moved, expected)


def test_what_cannot_be_the_middle_is_refused() -> None:
    images = torch.rand(1, 1, 20, 26)
    for size, spacing in (((21, 26), None), ((20,), None), ((10, 10), (1.0, 1.0, 1.0))):
        with pytest.raises(ValueError, match=r"cannot be the middle|axes"):
            apply(images, None, still(images, Ranges()), size, spacing)


def test_numbers_of_the_third_axis_stay_in_their_ranges_and_reach_them() -> None:
    volumes = torch.zeros(400, 1, 4, 4, 4)
    drawn = draw_parameters(EVERYTHING, Noise(range(400)), volumes)
    assert drawn.tilt is not None and drawn.bias_field is not None and drawn.low_resolution is not None
    for values, low, high in (
        (drawn.tilt[:, 0], -0.489, 0.489), (drawn.tilt[:, 1], -0.489, 0.489), (drawn.shift[:, 0], -0.1, 0.1),
        (drawn.window[:, 0], -1, 1), (drawn.bias_field, -0.4, 0.4), (drawn.low_resolution, 1, 2),
    ):  # fmt: skip
        assert low <= values.min() < low + 0.05 * (high - low) and high - 0.05 * (high - low) < values.max() <= high
    assert drawn.flips.float().mean(0).tolist() == pytest.approx([0.5, 0.5, 0.5], abs=0.1)
    for drawn_for in (drawn.low_resolution > 1, drawn.bias_field.flatten(1).any(1)):
        assert float(drawn_for.float().mean()) == pytest.approx(0.5, abs=0.1)
    numbers = torch.stack([drawn.tilt[:, 0], drawn.tilt[:, 1], drawn.shift[:, 0], drawn.window[:, 0]])
    assert (torch.corrcoef(numbers) - torch.eye(4)).abs().max() < 0.2


def test_what_is_drawn_later_changes_nothing_before() -> None:
    images = torch.zeros(2, 1, 8, 8)
    old = EVERYTHING._replace(bias_field=0.0, low_resolution=0.0)
    one, other = Noise([3, 4]), Noise([3, 4])
    before, after = draw_parameters(old, one, images), draw_parameters(EVERYTHING, other, images)
    for name in (
        "flips",
        "angle",
        "scale",
        "aspect",
        "shift",
        "crop",
        "window",
        "bend",
        "gamma",
        "blur",
        "noise",
        "grain",
    ):
        assert torch.equal(getattr(before, name), getattr(after, name))
    host = Noise([3, 4])
    host.uniform(15), host.uniform(2, 5, 5), host.normal(images)
    assert torch.equal(one.uniform(4), host.uniform(4)), "and nothing more is drawn without the new ranges"
