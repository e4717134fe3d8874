"""Augmentation of images and masks: parameters are drawn first, then applied to a whole batch on its device.

Drawing takes one generator per item, so what happens to item i depends on its seed alone. All geometry is one map from
a pixel of the result to where it is read, in pixels from the centre,

    source = F (R Z target + shift + bend(target))                                                            (1)
    F = diag(mirrored? -1 : 1, upended? -1 : 1),   Z = diag(1 / sqrt(aspect), sqrt(aspect)) (1 - crop) / scale

and one resampling (`geometry`): linear for images, nearest for masks, so labels stay labels, the label of ignored
pixels too. R turns by the angle. Volumes have a third axis, through their planes; there

    R = R_down(tilt_2) R_across(tilt_1) R_plane(angle),   Z's third number is (1 - crop) / scale              (2)

and where the spacing of the pixels is told, S^-1 R S in place of R with S = diag(spacing), so that what is turned keeps
its form in millimetres. `bend` is drawn at a few nodes and is smooth between them. What is given may be larger than the
result, by as much as `margin` says; what the map reads beside it is its reflection. Items to which nothing but flips is
done stay exact.

Intensities (images only), with u = (image + 1) / 2 and a smooth field that is drawn at a few nodes:

    (u exp(field))^gamma * contrast + (1 - contrast) / 2 + brightness / 2                                     (3)

then blur, larger pixels and noise. Images are in [-1, 1] before and after.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.data.augmentation.geometry import Flips, Given, GivenMasks, Motion, centre, column, moved
from sfumato.data.augmentation.intensity import biased, blurred, coarsened, relit
from sfumato.data.augmentation.ranges import Ranges
from sfumato.randomness import Noise
from sfumato.typing import Data, Masks, PerItem

NODES = 5
"""Nodes of an elastic deformation along each side: a quarter of the side apart."""

FIELD_NODES = 4
"""Nodes of a bias field along each side: a third of the side apart."""

PIXELS_AT_ONCE = 2**18
"""Pixels treated at once on a CPU: what is made of them on the way stays in its cache."""

OVERSHOOT = 1.375
"""How far a cubic between nodes in [-1, 1] gets, along each axis."""


class Parameters(NamedTuple):
    """What was drawn, one row per item: see `Ranges` and the equations above. On the CPU, all but the grain.

    Attributes:
        flips: up-down, left-right; of volumes front to back before them.
        angle: radians.
        tilt: radians about the axes across and down; None without a third axis.
        scale: factor.
        aspect: factor, width over height.
        shift: (through,) down and across, shares of the side.
        crop: share of the side that is cut away.
        window: where the rest lies, (through,) down and across, from -1 (one end) to 1 (the other).
        bend: displacement of the nodes in pixels, across and down (and through); None without.
        brightness: added.
        contrast: factor.
        gamma: exponent.
        bias_field: logarithm of a factor at its nodes, 0 where not drawn; None without.
        blur: pixels.
        low_resolution: factor by which pixels become larger, 1 where not drawn; None without.
        noise: standard deviation.
        grain: unit normal noise; None without.
        ranges: what it was drawn from.
    """

    flips: Flips
    angle: PerItem
    tilt: Float[Tensor, "b 2"] | None
    scale: PerItem
    aspect: PerItem
    shift: Float[Tensor, "b axes"]
    crop: PerItem
    window: Float[Tensor, "b axes"]
    bend: Float[Tensor, "b axes *nodes"] | None
    brightness: PerItem
    contrast: PerItem
    gamma: PerItem
    bias_field: Float[Tensor, "b 1 *nodes"] | None
    blur: PerItem
    low_resolution: PerItem | None
    noise: PerItem
    grain: Data | None
    ranges: Ranges

    def of(self, items: slice) -> "Parameters":
        """The parameters of some of the items."""
        rows: dict[str, Any] = {
            name: value[items] for name, value in self._asdict().items() if isinstance(value, Tensor)
        }
        return self._replace(**rows)


def draw_parameters(ranges: Ranges, noise: Noise, images: Data, size: Sequence[int] | None = None) -> Parameters:
    """Parameters for as many items as `noise` has generators.

    Args:
        ranges: how far to go.
        noise: one generator for each image.
        images: (b, c, h, w) or (b, c, d, h, w); only their shape counts.
        size: the result's, (h, w) or (d, h, w), no side above that of the images; the images' own if left out.
    """
    host, axes = noise.on("cpu"), images.ndim - 2
    u = host.uniform(15)
    bend = (2 * host.uniform(axes, *[NODES] * axes) - 1) * ranges.elastic if ranges.elastic else None
    grain = noise.normal(centre(images, size or images.shape[2:])) if ranges.noise else None
    signed, later = 2 * u - 1, host.uniform(7) if axes == 3 or ranges.low_resolution or ranges.bias_field else None
    flips, shift, window = u[:, :2], signed[:, 5:7], signed[:, 8:10]
    tilt = low_resolution = bias_field = None
    if later is not None:
        more = 2 * later - 1
        tilt = more[:, 3:5] * math.radians(ranges.angle) * ranges.tilt
        low_resolution = 1 + more[:, 6].clamp(min=0) * ranges.low_resolution
        bias_field = _bias_field(more[:, 5].clamp(min=0) * ranges.bias_field, host, axes) if ranges.bias_field else None
        if axes == 3:
            third = later[:, :1], more[:, 1:2], more[:, 2:3]
            flips, shift, window = (torch.cat(pair, 1) for pair in zip(third, (flips, shift, window), strict=True))
    return Parameters(
        flips=flips < u.new_tensor([ranges.flip_depth, ranges.upend, ranges.mirror][-axes:]),
        angle=signed[:, 2] * math.radians(ranges.angle),
        tilt=tilt,
        scale=torch.exp(signed[:, 3] * ranges.scale),
        aspect=torch.exp(signed[:, 4] * ranges.aspect),
        shift=shift * ranges.shift,
        crop=u[:, 7] * ranges.crop,
        window=window,
        bend=bend,
        brightness=signed[:, 10] * ranges.brightness,
        contrast=torch.exp(signed[:, 11] * ranges.contrast),
        gamma=torch.exp(signed[:, 12] * ranges.gamma),
        bias_field=bias_field,
        blur=signed[:, 13].clamp(min=0) * ranges.blur,
        low_resolution=low_resolution,
        noise=signed[:, 14].clamp(min=0) * ranges.noise,
        grain=grain,
        ranges=ranges,
    )


def _bias_field(reach: PerItem, host: Noise, axes: int) -> Float[Tensor, "b 1 *nodes"]:
    """Nodes between the negative of each item's reach and itself."""
    nodes = 2 * host.uniform(1, *[FIELD_NODES] * axes) - 1
    return nodes * column(reach, nodes)


def apply(
    images: Given,
    masks: GivenMasks | None,
    parameters: Parameters,
    size: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
) -> tuple[Data, Masks | None]:
    """Augmented images and masks of some size, the middle of what is given.

    Args:
        images: (b, c, h, w) or (b, c, d, h, w) in [-1, 1].
        masks: class indices; move with the images.
        parameters: from `draw_parameters`, for the same size.
        size: (h, w) or (d, h, w) of the result, no side above that of the images; the images' own if left out. Shifts,
            crops and bends are shares and pixels of it.
        spacing: of the pixels along these axes, in any unit of length: rotations are rigid in it, and bends are in
            pixels of the finest axis. Pixels are taken as square (cubic) if left out.

    Raises:
        ValueError: a size or a spacing of other axes, or a size above that of the images.
    """
    size, given = tuple(size or images.shape[2:]), images.shape[2:]
    if len(size) != len(given) or any(side > whole for side, whole in zip(size, given, strict=True)):
        raise ValueError(f"a result of {size} pixels cannot be the middle of images of {tuple(given)}")
    if spacing is not None and len(spacing) != len(size):
        raise ValueError(f"spacing {tuple(spacing)} for {len(size)} axes")
    motion = _motion(parameters, size, spacing)
    parts = [
        _applied(images[items], None if masks is None else masks[items], parameters.of(items), motion.of(items), size)
        for items in _parts(images, size)
    ]
    if len(parts) == 1:
        return parts[0]
    labels = [part for _, part in parts if part is not None]
    return torch.cat([part for part, _ in parts]), torch.cat(labels) if labels else None


def _parts(images: Given, size: Sequence[int]) -> list[slice]:
    """Items that are treated at once: all on an accelerator, on a CPU few, but some for each of its threads."""
    if images.device.type != "cpu":
        return [slice(None)]
    threads = torch.get_num_threads()
    step = threads * max(1, PIXELS_AT_ONCE // (threads * math.prod(size)))
    return [slice(start, start + step) for start in range(0, len(images), step)]


def _applied(
    given: Given, masks: GivenMasks | None, parameters: Parameters, motion: Motion, size: Sequence[int]
) -> tuple[Data, Masks | None]:
    ranges = parameters.ranges
    images, labels = moved(given, masks, motion, size)
    if parameters.bias_field is not None:
        images = biased(images, parameters.bias_field)
    if ranges.brightness or ranges.contrast or ranges.gamma:
        images = relit(images, parameters.brightness, parameters.contrast, parameters.gamma if ranges.gamma else None)
    if ranges.blur:
        images = blurred(images, parameters.blur, reach=math.ceil(3 * ranges.blur))
    if ranges.low_resolution and parameters.low_resolution is not None:
        images = coarsened(images, parameters.low_resolution)
    if parameters.grain is not None:
        images = torch.addcmul(images, column(parameters.noise, images), parameters.grain).clamp_(-1, 1)
    return images, labels


def _motion(parameters: Parameters, size: Sequence[int], spacing: Sequence[float] | None) -> Motion:
    """Equations (1) and (2): across, down and through."""
    kept = 1 - parameters.crop
    shape = parameters.aspect.sqrt()
    across, down = kept / (parameters.scale * shape), kept / parameters.scale * shape
    cosine, sine = parameters.angle.cos(), parameters.angle.sin()
    steps = [1.0] * len(size) if spacing is None else spacing[::-1]
    ratio = steps[1] / steps[0]
    rows = [[cosine * across, -sine * down * ratio], [sine * across / ratio, cosine * down]]
    if parameters.tilt is not None and len(size) == 3:
        zero = torch.zeros_like(across)
        rows = [*([*row, zero] for row in rows), [zero, zero, kept / parameters.scale]]
        _turn(rows, 1, 2, parameters.tilt[:, 0], steps)
        _turn(rows, 0, 2, parameters.tilt[:, 1], steps)
    shift = (parameters.shift + parameters.window * (parameters.crop / 2)[:, None]) * torch.tensor(size)
    ranges = parameters.ranges
    if not (ranges.angle or ranges.scale or ranges.aspect or ranges.crop or ranges.elastic):
        shift = shift.round()  # whole pixels do not blur
    numbers = [number for row, offset in zip(rows, shift.flip(1).unbind(1), strict=True) for number in (*row, offset)]
    bend = parameters.bend
    if bend is not None and spacing is not None:
        bend = bend * torch.tensor([min(steps) / step for step in steps]).view(-1, *[1] * len(size))
    return Motion(parameters.flips, torch.stack(numbers, 1).view(-1, len(size), len(size) + 1), bend)


def _turn(rows: list[list[PerItem]], first: int, second: int, angle: PerItem, steps: Sequence[float]) -> None:
    """Turn what a map yields from the first of two axes to the second; rigid in their steps."""
    cosine, sine, ratio = angle.cos(), angle.sin(), steps[second] / steps[first]
    pairs = list(zip(rows[first], rows[second], strict=True))
    rows[first] = [cosine * a - sine * ratio * b for a, b in pairs]
    rows[second] = [sine / ratio * a + cosine * b for a, b in pairs]


def margin(ranges: Ranges, size: Sequence[int], spacing: Sequence[float] | None = None) -> tuple[int, ...]:
    """Pixels to read before and behind a result, along each axis, so that no map that may be drawn reads beside them.

    At most half of the side: what lies further out is reflected. With tilts it is an upper bound, else exact but for
    bends, whose bound is that of the cubic between the nodes.

    Args:
        ranges: how far augmentation goes.
        size: (h, w) or (d, h, w) of the result.
        spacing: as in `apply`.
    """
    steps = spacing or [1.0] * len(size)
    extents = [_extent(ranges, size, steps, ranges.aspect * sign) for sign in (-1, 1)]
    result = []
    for axis, side in enumerate(size):
        half = (side - 1) / 2
        far = max(extent[axis] for extent in extents)
        far = max(far, far * (1 - ranges.crop) + ranges.crop * side / 2)
        beyond = far - half + ranges.shift * side + ranges.elastic * OVERSHOOT ** len(size) * min(steps) / steps[axis]
        result.append(min(math.ceil(beyond - 1e-6), side // 2))
    return tuple(result)


def _extent(ranges: Ranges, size: Sequence[int], steps: Sequence[float], aspect: float) -> list[float]:
    """How far from the centre the result's own pixels may be turned and scaled, in pixels along each axis."""
    stretch = [1.0, math.exp(aspect / 2), math.exp(-aspect / 2)][-len(size) :]
    magnified = math.exp(ranges.scale)
    box = [(side - 1) / 2 * step * factor * magnified for side, step, factor in zip(size, steps, stretch, strict=True)]
    corner, angle = math.hypot(*box), math.radians(ranges.angle)
    _widen(box, -1, -2, angle)
    if len(size) == 3:
        _widen(box, -2, -3, angle * ranges.tilt)
        _widen(box, -1, -3, angle * ranges.tilt)
    return [min(far, corner) / step for far, step in zip(box, steps, strict=True)]


def _widen(box: list[float], first: int, second: int, angle: float) -> None:
    """Half the sides of the box that holds a box which is turned by up to an angle."""
    a, b = box[first], box[second]
    box[first], box[second] = _reach(a, b, angle), _reach(b, a, angle)


def _reach(a: float, b: float, angle: float) -> float:
    """Largest a cos t + b sin t for t up to an angle."""
    t = min(angle, math.atan2(b, a))
    return a * math.cos(t) + b * math.sin(t)
