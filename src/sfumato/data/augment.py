"""Augmentation of images and masks: parameters are drawn first, then applied to a whole batch on its device.

Drawing takes one generator per item, so what happens to item i depends on its seed alone. After the flips, rotation,
scale and shift are one affine map per item

    source = R(angle) target / scale + shift                                                                    (1)

in pixels from the centre, and one resampling: linear for images, nearest for masks, so labels stay labels. What the map
reads beside the image is its reflection. Items that are flipped only stay exact.

Intensities (images only), with u = (image + 1) / 2:

    u^gamma * contrast + (1 - contrast) / 2 + brightness / 2                                                     (2)

then blur and noise. Images are in [-1, 1] before and after.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from sfumato.diffusion.process import Noise
from sfumato.typing import Data, Masks, PerItem

Preset = Literal["none", "light", "medium", "heavy"]


class Ranges(NamedTuple):
    """How far a preset goes. Each number is drawn uniformly between its negative and itself, unless said otherwise.

    Attributes:
        mirror: probability of a left-right flip.
        upend: probability of an up-down flip.
        angle: rotation in degrees.
        scale: logarithm of the magnification.
        shift: shift as a share of the side.
        brightness: added to the image.
        contrast: logarithm of the contrast factor.
        gamma: logarithm of the exponent.
        blur: largest standard deviation of the blur in pixels; drawn from 0, for half of the items.
        noise: largest standard deviation of the noise; drawn from 0, for half of the items.
    """

    mirror: float = 0.0
    upend: float = 0.0
    angle: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


PRESETS: dict[Preset, Ranges] = {
    "none": Ranges(),
    "light": Ranges(mirror=0.5, shift=0.04),
    "medium": Ranges(mirror=0.5, angle=15, scale=0.12, shift=0.06, brightness=0.1, contrast=0.1, gamma=0.1),
    "heavy": Ranges(0.5, 0.5, 180, 0.25, 0.1, brightness=0.2, contrast=0.2, gamma=0.25, blur=1.0, noise=0.08),
}
"""`medium` keeps anatomy upright; `heavy` is for pictures without an up, such as skin or cells."""


class Parameters(NamedTuple):
    """What was drawn, one row per item. See `Ranges` and the equations above."""

    flips: Bool[Tensor, "b 2"]
    angle: PerItem
    scale: PerItem
    shift: Float[Tensor, "b 2"]
    brightness: PerItem
    contrast: PerItem
    gamma: PerItem
    blur: PerItem
    noise: PerItem
    grain: Int64[Tensor, " b"]
    ranges: Ranges


def draw(preset: Preset, noise: Noise) -> Parameters:
    """Parameters for as many items as `noise` has generators. Flips are up-down, left-right; angles in radians."""
    ranges = PRESETS[preset]
    u = noise.uniform(13)
    signed = 2 * u - 1
    return Parameters(
        flips=u[:, :2] < u.new_tensor([ranges.upend, ranges.mirror]),
        angle=signed[:, 2] * math.radians(ranges.angle),
        scale=torch.exp(signed[:, 3] * ranges.scale),
        shift=signed[:, 4:6] * ranges.shift,
        brightness=signed[:, 6] * ranges.brightness,
        contrast=torch.exp(signed[:, 7] * ranges.contrast),
        gamma=torch.exp(signed[:, 8] * ranges.gamma),
        blur=signed[:, 9].clamp(min=0) * ranges.blur,
        noise=signed[:, 10].clamp(min=0) * ranges.noise,
        grain=(u[:, 11] * 2**24).long() * 2**24 + (u[:, 12] * 2**24).long(),
        ranges=ranges,
    )


def apply(images: Data, masks: Masks | None, parameters: Parameters) -> tuple[Data, Masks | None]:
    """Augmented images and masks, same shapes.

    Args:
        images: in [-1, 1].
        masks: class indices; move with the images.
        parameters: from `draw`, on the images' device.
    """
    ranges = parameters.ranges
    images, masks = _flipped(images, masks, parameters.flips)
    if ranges.angle or ranges.scale or ranges.shift:
        images, masks = _resampled(images, masks, parameters)
    if ranges.brightness or ranges.contrast or ranges.gamma:
        images = _relit(images, parameters)
    if ranges.blur:
        images = _blurred(images, parameters.blur)
    if ranges.noise:
        images = _noisy(images, parameters)
    return images, masks


def _flipped(images: Data, masks: Masks | None, flips: Bool[Tensor, "b 2"]) -> tuple[Data, Masks | None]:
    for axis, chosen in ((-2, flips[:, 0]), (-1, flips[:, 1])):
        images = torch.where(chosen.view(-1, 1, 1, 1), images.flip(axis), images)
        if masks is not None:
            masks = torch.where(chosen.view(-1, 1, 1), masks.flip(axis), masks)
    return images, masks


def _resampled(images: Data, masks: Masks | None, parameters: Parameters) -> tuple[Data, Masks | None]:
    shift = _pixels(parameters, images.shape[-2], images.shape[-1])
    grid = _grid(images, parameters, shift)
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    still = (parameters.angle == 0) & (parameters.scale == 1) & (shift == 0).all(1)
    if masks is not None:
        planes = masks[:, None].to(images.dtype)
        nearest = functional.grid_sample(planes, grid, mode="nearest", padding_mode="reflection", align_corners=False)
        masks = nearest[:, 0].to(masks.dtype)
    return torch.where(still.view(-1, 1, 1, 1), images, moved), masks


def _pixels(parameters: Parameters, height: int, width: int) -> Float[Tensor, "b 2"]:
    """Shift down and across in pixels; whole ones if that is all that is done, so that it does not blur."""
    shift = parameters.shift * parameters.shift.new_tensor([height, width])
    return shift if parameters.ranges.angle or parameters.ranges.scale else shift.round()


def _grid(images: Data, parameters: Parameters, shift: Float[Tensor, "b 2"]) -> Float[Tensor, "b h w 2"]:
    """Where each pixel is read, by equation (1); `grid_sample` counts from -1 to 1 over each side."""
    height, width = images.shape[-2:]
    cosine, sine = torch.cos(parameters.angle) / parameters.scale, torch.sin(parameters.angle) / parameters.scale
    across, down = 2 * shift[:, 1] / width, 2 * shift[:, 0] / height
    rows = [cosine, -sine * height / width, across, sine * width / height, cosine, down]
    return functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(images.shape), align_corners=False)


def _relit(images: Data, parameters: Parameters) -> Data:
    brightness, contrast, gamma = (
        value.view(-1, 1, 1, 1) for value in (parameters.brightness, parameters.contrast, parameters.gamma)
    )
    level = ((images + 1) / 2).clamp(0, 1) ** gamma
    return ((2 * level - 1) * contrast + brightness).clamp(-1, 1)


def _blurred(images: Data, sigma: PerItem) -> Data:
    """Gaussian blur, each item with its own width; exact where that is 0."""
    reach = torch.arange(-3, 4, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (reach / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)
    planes = images.flatten(0, 1)[None]
    for shape, pad in (((-1, 1, 7, 1), (0, 0, 3, 3)), ((-1, 1, 1, 7), (3, 3, 0, 0))):
        planes = functional.conv2d(
            functional.pad(planes, pad, mode="reflect"), kernel.view(shape), groups=planes.shape[1]
        )
    return torch.where(sigma.view(-1, 1, 1, 1) > 0, planes.view_as(images), images)


def _noisy(images: Data, parameters: Parameters) -> Data:
    grain = Noise(parameters.grain.tolist(), images.device).normal(images)
    return (images + parameters.noise.view(-1, 1, 1, 1) * grain).clamp(-1, 1)
