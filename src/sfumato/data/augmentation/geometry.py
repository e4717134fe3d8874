"""Geometry of images and masks in two or three dimensions: flips, and one map with one resampling.

A map says where each pixel of the result is read, in pixels from the centre of what is given; linear for images,
nearest for masks. The given may be larger than the result, so that little or nothing is read beside it; what is, is its
reflection. A volume whose planes stay planes is read in the plane and then through it: the same numbers, as the weights
of a trilinear reading are products, in a twentieth of the time on a CPU.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from sfumato.typing import Data, Masks

Flips = Bool[Tensor, "b axes"]
"""Up-down and left-right; of volumes front to back before them."""

Given = Float[Tensor, "b c *given"]
"""Images as they are read, which may be larger than the result."""

GivenMasks = Integer[Tensor, "b *given"]
"""Their masks."""

_Read = Callable[[Given, str], Data]


class Motion(NamedTuple):
    """What moves each item; on the CPU.

    Attributes:
        flips: after all else.
        maps: the linear map and its shift, in pixels from the centre; across, down, through the planes.
        bend: displacement of some nodes in pixels, in the order of the map; None without.
    """

    flips: Flips
    maps: Float[Tensor, "b axes columns"]
    bend: Float[Tensor, "b axes *nodes"] | None

    def of(self, items: slice) -> "Motion":
        """What moves some of the items."""
        return Motion(self.flips[items], self.maps[items], None if self.bend is None else self.bend[items])


def centre(values: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of (b, ..., *given); of an odd number of pixels beside it one more lies behind it than before."""
    if values.shape[-len(size) :] == tuple(size):
        return values
    for axis, side in zip(range(-len(size), 0), size, strict=True):
        values = values.narrow(axis, (values.shape[axis] - side) // 2, side)
    return values


def flipped(values: Tensor, flips: Flips) -> Tensor:
    """Each item of (b, ..., h, w) or (b, ..., d, h, w) turned round along its last axes or not."""
    for axis in range(-flips.shape[1], 0):
        chosen = flips[:, axis]
        if chosen.any():
            values = torch.where(column(chosen, values), values.flip(axis), values)
    return values


def column(numbers: Tensor, like: Tensor) -> Tensor:
    """One number for each item, where the items are and in a shape that broadcasts over them."""
    return numbers.to(like.device, non_blocking=True).view(-1, *[1] * (like.ndim - 1))


def smooth(nodes: Float[Tensor, "b k *nodes"], size: Sequence[int]) -> Float[Tensor, "b k *space"]:
    """Values between a few nodes, the outer ones at the centres of the outer pixels: cubic along each axis."""
    *depth, height, width = size
    if depth:  # first through the planes, where there are still few numbers
        lines = functional.interpolate(
            nodes.flatten(3), (*depth, math.prod(nodes.shape[3:])), mode="bicubic", align_corners=True
        )
        planes = lines.view(len(nodes), -1, *nodes.shape[3:])
    else:
        planes = nodes
    planes = functional.interpolate(planes, (height, width), mode="bicubic", align_corners=True)
    return planes.view(*nodes.shape[:2], *size)


def moved(images: Given, masks: GivenMasks | None, motion: Motion, size: Sequence[int]) -> tuple[Data, Masks | None]:
    """All geometry. Of what is flipped at most the centre is cut, not resampled."""
    flips, maps = motion.flips, motion.maps
    still = (maps == torch.eye(*maps.shape[1:])).flatten(1).all(1) & (motion.bend is None)
    if still.all():
        return flipped(centre(images, size), flips), None if masks is None else flipped(centre(masks, size), flips)
    sampled = _sampled_by(motion, size, images)

    def read(values: Given, mode: str) -> Data:
        result = sampled(values, mode)
        if not still.any():
            return result
        return torch.where(column(still, result), flipped(centre(values, size), flips), result)

    if masks is None:
        return read(images, "bilinear"), None
    classes = masks.view(torch.int8) if masks.dtype == torch.uint8 else masks  # a CPU converts int8 four times as fast
    labels = read(classes[:, None].to(images.dtype), "nearest")[:, 0].to(classes.dtype)
    return read(images, "bilinear"), labels.view(masks.dtype)


def _sampled_by(motion: Motion, size: Sequence[int], images: Given) -> _Read:
    """How the given is read."""
    given = images.shape[2:]
    if len(size) == 3 and _keeps_planes(motion):
        plane = Motion(motion.flips[:, 1:], motion.maps[:, :2, [0, 1, 3]], None)
        line = Motion(motion.flips[:, :1], motion.maps[:, 2:, 2:], None)
        places = _places(_grid(line, size[:1], given[:1], images.device)[..., 0], given[0])
        across = _grid(plane, size[1:], given[1:], images.device)
        return lambda values, mode: _through(_sampled(values.flatten(1, 2), across, mode), places, mode, given[0])
    grid = _grid(motion, size, given, images.device)
    return lambda values, mode: _sampled(values, grid, mode)


def _keeps_planes(motion: Motion) -> bool:
    """Whether what lies in a plane of each volume stays together in one, and is moved there as in all others."""
    return motion.bend is None and not (motion.maps[:, :2, 2].any() or motion.maps[:, 2, :2].any())


def _grid(
    motion: Motion, size: Sequence[int], given: Sequence[int], device: torch.device
) -> Float[Tensor, "b *size axes"]:
    """Where each pixel of the result is read; `grid_sample` counts from -1 to 1 over each side of the given.

    Across, down and through are planes in memory: twice as fast on a CPU as triples.
    """
    sides = torch.tensor(given).flip(0)
    units = 2 / sides * (1 - 2.0 * motion.flips.flip(1))
    maps = motion.maps * units[:, :, None]
    uneven = torch.tensor([(whole - side) % 2 for whole, side in zip(given, size, strict=True)]).flip(0)
    maps[:, :, -1] -= uneven / sides  # half a pixel from the centre of the given to that of its `centre`
    maps = maps.to(device)
    planes = maps[:, :, -1]
    for axis, side in zip(reversed(range(len(size))), size, strict=True):
        offset = (torch.arange(side, device=device) - (side - 1) / 2) * maps[:, :, axis : axis + 1]
        planes = planes[..., None] + offset.view(*offset.shape[:2], *[1] * (planes.ndim - 2), side)
    if motion.bend is not None:
        planes += smooth((motion.bend * units.view(*units.shape, *[1] * len(size))).to(device), size)
    return planes.movedim(1, -1)


def _sampled(values: Given, grid: Float[Tensor, "b *size axes"], mode: str) -> Data:
    """One resampling. torch reflects in five dimensions in twice the time of clamping, so there it is done before."""
    volume = values.ndim == 5
    grid, beside = (_folded(grid), "border") if volume else (grid, "reflection")
    return functional.grid_sample(values, grid, mode=mode, padding_mode=beside, align_corners=False)


def _folded(places: Tensor) -> Tensor:
    """Places in the unit of `grid_sample`, reflected at -1 and 1."""
    return 1 - ((places + 1).remainder_(4) - 2).abs_()


def _places(line: Float[Tensor, "b d"], depth: int) -> Float[Tensor, "b d"]:
    """Numbers of planes, with fractions, instead of the unit of `grid_sample`."""
    return (((_folded(line) + 1) * depth - 1) / 2).clamp_(0, depth - 1)


def _through(planes: Float[Tensor, "b planes h w"], places: Float[Tensor, "b d"], mode: str, depth: int) -> Data:
    """What lies at some places between the planes of each channel."""
    items, channels, (height, width) = len(planes), planes.shape[1] // depth, planes.shape[2:]
    flat = planes.reshape(-1, height, width)
    first = torch.arange(items * channels, device=planes.device).view(items, channels, 1) * depth
    lower = (places.round() if mode == "nearest" else places.floor()).long()

    def at(plane: Tensor) -> Data:
        chosen = flat.index_select(0, (first + plane[:, None]).flatten())
        return chosen.view(items, channels, -1, height, width)

    if mode == "nearest":
        return at(lower)
    share = (places - lower)[:, None, :, None, None]
    return torch.lerp(at(lower), at((lower + 1).clamp_(max=depth - 1)), share)
