"""Augmentation of images and masks: parameters are drawn first, then applied to a whole batch on its device.

Drawing takes one generator per item, so what happens to item i depends on its seed alone. All geometry is one map from
a pixel of the result to where it is read, in pixels from the centre,

    source = F (R(angle) Z target + shift + bend(target))                                                   (1)
    F = diag(mirrored? -1 : 1, upended? -1 : 1),   Z = diag(1 / sqrt(aspect), sqrt(aspect)) (1 - crop) / scale

and one resampling: linear for images, nearest for masks, so labels stay labels, the label of ignored pixels too. `bend`
is drawn at a few nodes and is smooth between them. What the map reads beside the image is its reflection. Items to
which nothing but flips is done stay exact.

Intensities (images only), with u = (image + 1) / 2:

    u^gamma * contrast + (1 - contrast) / 2 + brightness / 2                                                 (2)

then blur and noise. Images are in [-1, 1] before and after.
"""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from sfumato.data.augmentation.ranges import Ranges
from sfumato.randomness import Noise
from sfumato.typing import Data, Masks, PerItem

Flips = Bool[Tensor, "b 2"]
"""Up-down, left-right."""

NODES = 5
"""Nodes of an elastic deformation along each side: a quarter of the side apart."""

PIXELS_AT_ONCE = 2**18
"""Pixels treated at once on a CPU: what is made of them on the way stays in its cache."""


class Parameters(NamedTuple):
    """What was drawn, one row per item: see `Ranges` and the equations above. On the CPU, all but the grain.

    Attributes:
        flips: up-down, left-right.
        angle: radians.
        scale: factor.
        aspect: factor, width over height.
        shift: down and across, shares of the side.
        crop: share of the side that is cut away.
        window: where the rest lies, down and across, from -1 (one end) to 1 (the other).
        bend: displacement of the nodes in pixels, across and down; None without.
        brightness: added.
        contrast: factor.
        gamma: exponent.
        blur: pixels.
        noise: standard deviation.
        grain: unit normal noise; None without.
        ranges: what it was drawn from.
    """

    flips: Flips
    angle: PerItem
    scale: PerItem
    aspect: PerItem
    shift: Float[Tensor, "b 2"]
    crop: PerItem
    window: Float[Tensor, "b 2"]
    bend: Float[Tensor, "b 2 nodes nodes"] | None
    brightness: PerItem
    contrast: PerItem
    gamma: PerItem
    blur: PerItem
    noise: PerItem
    grain: Data | None
    ranges: Ranges

    def of(self, items: slice) -> "Parameters":
        """The parameters of some of the items."""
        rows: dict[str, Any] = {
            name: value[items] for name, value in self._asdict().items() if isinstance(value, Tensor)
        }
        return self._replace(**rows)


def draw_parameters(ranges: Ranges, noise: Noise, images: Data) -> Parameters:
    """Parameters for as many items as `noise` has generators.

    Args:
        ranges: how far to go.
        noise: one generator for each image.
        images: only their shape counts.
    """
    host = noise.on("cpu")
    u = host.uniform(15)
    signed = 2 * u - 1
    return Parameters(
        flips=u[:, :2] < u.new_tensor([ranges.upend, ranges.mirror]),
        angle=signed[:, 2] * math.radians(ranges.angle),
        scale=torch.exp(signed[:, 3] * ranges.scale),
        aspect=torch.exp(signed[:, 4] * ranges.aspect),
        shift=signed[:, 5:7] * ranges.shift,
        crop=u[:, 7] * ranges.crop,
        window=signed[:, 8:10],
        bend=(2 * host.uniform(2, NODES, NODES) - 1) * ranges.elastic if ranges.elastic else None,
        brightness=signed[:, 10] * ranges.brightness,
        contrast=torch.exp(signed[:, 11] * ranges.contrast),
        gamma=torch.exp(signed[:, 12] * ranges.gamma),
        blur=signed[:, 13].clamp(min=0) * ranges.blur,
        noise=signed[:, 14].clamp(min=0) * ranges.noise,
        grain=noise.normal(images) if ranges.noise else None,
        ranges=ranges,
    )


def apply(images: Data, masks: Masks | None, parameters: Parameters) -> tuple[Data, Masks | None]:
    """Augmented images and masks, same shapes.

    Args:
        images: (b, c, h, w) in [-1, 1].
        masks: class indices; move with the images.
        parameters: from `draw_parameters`.
    """
    parts = [
        _applied(images[items], None if masks is None else masks[items], parameters.of(items))
        for items in _parts(images)
    ]
    if len(parts) == 1:
        return parts[0]
    moved = [moved for _, moved in parts if moved is not None]
    return torch.cat([part for part, _ in parts]), torch.cat(moved) if moved else None


def _parts(images: Data) -> list[slice]:
    """Items that are treated at once: all on an accelerator, on a CPU few, but some for each of its threads."""
    if images.device.type != "cpu":
        return [slice(None)]
    threads = torch.get_num_threads()
    step = threads * max(1, PIXELS_AT_ONCE // (threads * images.shape[-2] * images.shape[-1]))
    return [slice(start, start + step) for start in range(0, len(images), step)]


def _applied(images: Data, masks: Masks | None, parameters: Parameters) -> tuple[Data, Masks | None]:
    ranges = parameters.ranges
    images, masks = _moved(images, masks, parameters)
    if ranges.brightness or ranges.contrast or ranges.gamma:
        images = _relit(images, parameters)
    if ranges.blur:
        images = _blurred(images, parameters.blur.to(images.device), reach=math.ceil(3 * ranges.blur))
    if parameters.grain is not None:
        images = torch.addcmul(images, _column(parameters.noise, images), parameters.grain).clamp_(-1, 1)
    return images, masks


def flipped(values: Tensor, flips: Flips) -> Tensor:
    """Each item of (b, ..., h, w) turned round up-down, left-right or not; `flips` is on the CPU."""
    for axis in (-2, -1):
        chosen = flips[:, axis]
        if chosen.any():
            values = torch.where(_column(chosen, values), values.flip(axis), values)
    return values


def _column(numbers: Tensor, like: Tensor) -> Tensor:
    """One number for each item, where the items are and in a shape that broadcasts over them."""
    return numbers.to(like.device, non_blocking=True).view(-1, *[1] * (like.ndim - 1))


def _moved(images: Data, masks: Masks | None, parameters: Parameters) -> tuple[Data, Masks | None]:
    """All geometry. What is flipped at most is not resampled."""
    flips, maps = parameters.flips, _maps(parameters, images.shape[-2], images.shape[-1])
    still = (maps == torch.eye(2, 3)).flatten(1).all(1) & (parameters.bend is None)
    if still.all():
        return flipped(images, flips), None if masks is None else flipped(masks, flips)
    grid = _grid(images, maps, parameters)

    def read(values: Data, mode: str) -> Data:
        moved = functional.grid_sample(values, grid, mode=mode, padding_mode="reflection", align_corners=False)
        return torch.where(_column(still, moved), flipped(values, flips), moved) if still.any() else moved

    if masks is None:
        return read(images, "bilinear"), None
    classes = masks.view(torch.int8) if masks.dtype == torch.uint8 else masks  # a CPU converts int8 four times as fast
    moved = read(classes[:, None].to(images.dtype), "nearest")[:, 0].to(classes.dtype)
    return read(images, "bilinear"), moved.view(masks.dtype)


def _maps(parameters: Parameters, height: int, width: int) -> Float[Tensor, "b 2 3"]:
    """Equation (1) without flips and bend, across and down."""
    kept = 1 - parameters.crop
    shape = parameters.aspect.sqrt()
    across, down = kept / (parameters.scale * shape), kept / parameters.scale * shape
    cosine, sine = parameters.angle.cos(), parameters.angle.sin()
    share = parameters.shift + parameters.window * (parameters.crop / 2)[:, None]
    shift = share * torch.tensor([height, width])
    ranges = parameters.ranges
    if not (ranges.angle or ranges.scale or ranges.aspect or ranges.crop or ranges.elastic):
        shift = shift.round()  # whole pixels do not blur
    rows = [cosine * across, -sine * down, shift[:, 1], sine * across, cosine * down, shift[:, 0]]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _grid(images: Data, maps: Float[Tensor, "b 2 3"], parameters: Parameters) -> Float[Tensor, "b h w 2"]:
    """Where each pixel is read, by equation (1); `grid_sample` counts from -1 to 1 over each side.

    Across and down are planes in memory: twice as fast on a CPU as pairs.
    """
    height, width = images.shape[-2:]
    units = 2 / torch.tensor([width, height]) * (1 - 2.0 * parameters.flips.flip(1))
    maps = (maps * units[:, :, None]).to(images.device)
    across, down = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in (width, height))
    rows = (down * maps[:, :, 1:2] + maps[:, :, 2:])[..., None]
    planes = rows + (across * maps[:, :, :1])[:, :, None]
    if parameters.bend is not None:
        nodes = (parameters.bend * units[..., None, None]).to(images.device)
        planes += functional.interpolate(nodes, (height, width), mode="bicubic", align_corners=True)
    return planes.permute(0, 2, 3, 1)


def _relit(images: Data, parameters: Parameters) -> Data:
    """Equation (2)."""
    brightness, contrast, gamma = (
        _column(value, images) for value in (parameters.brightness, parameters.contrast, parameters.gamma)
    )
    if not parameters.ranges.gamma:
        return (images * contrast).add_(brightness).clamp_(-1, 1)
    power = (images + 1).clamp_min_(0).log_().mul_(gamma)  # with `exp`, a quarter of the time of `pow` on a CPU
    power.add_((2 * contrast).log() - math.log(2) * gamma).exp_()
    return power.add_(brightness - contrast).clamp_(-1, 1)


def _blurred(images: Data, sigma: PerItem, *, reach: int) -> Data:
    """Gaussian blur, each item with its own width; exact where that is 0."""
    reach = min(reach, *(side - 1 for side in images.shape[-2:]))
    offset = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma.clamp(min=1e-3)[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(images.shape[1], 0)
    planes = images.flatten(0, 1)[None]
    for shape, pad in (
        ((-1, 1, 2 * reach + 1, 1), (0, 0, reach, reach)),
        ((-1, 1, 1, 2 * reach + 1), (reach, reach, 0, 0)),
    ):
        planes = functional.conv2d(
            functional.pad(planes, pad, mode="reflect"), kernel.view(shape), groups=planes.shape[1]
        )
    return torch.where(_column(sigma, images) > 0, planes.view_as(images), images)
