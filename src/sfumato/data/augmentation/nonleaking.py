"""Augmentation for generators that does not leak: the network is told what was done to each image, in numbers.

Whatever is done to training images appears in generated ones, unless the network can tell. So each operation is done
to few images (probability p times its multiplier), the network is told its parameters, and when sampling it is told
zeros: nothing was done. The nine labels of the geometry, then four of whole pixels and six of colour if they are on:

    mirror, upend, w_s, cos a - 1, sin a, w_t cos r, w_t sin r, t_x, t_y                                     (1)
    turned by 90 or 180, by 180 or 270 degrees, whole t_x, whole t_y                                         (2)
    w_b, w_c, inverted, cos h - 1, sin h, w_h                                                                (3)

Flips, quarter turns and whole shifts are exact. The rest is one map, from the target to where it is read,

    source = S(2^(-w_s/5)) R(a) R(-r) S(2^(-w_t/5), 2^(w_t/5)) R(r) T(-t_x width/8, -t_y height/8) target    (4)

in pixels from the centre, read by `warp.warped`; and one matrix of the colours (red, green, blue, 1), with the diagonal
d = (1, 1, 1) / sqrt 3 from black to white, from right to left in the order of (3):

    T(w_b / 5), S(2^(w_c/2)), I - 2 d d', rotation by h about d, d d' + 2^(w_h) (I - d d')                   (5)

Source: Karras et al. 2022, "Elucidating the design space", appendix F.2; for (5) Karras et al. 2020, appendix B.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from sfumato.data.augmentation.geometry import Flips, flipped
from sfumato.data.augmentation.pipe import COLOUR_LABELS, WHOLE_LABELS, Pipe
from sfumato.data.augmentation.warp import Maps, warped
from sfumato.randomness import Noise
from sfumato.typing import Data, Masks, PerItem

LARGEST_SHIFT = 1 / 8
"""Whole shifts as a share of the side, and the standard deviation of the others."""

OBLIQUE = 0.5
"""Share of the stretched images that are stretched along another direction than across."""

_Labels = Float[Tensor, "b labels"]
_Colours = Float[Tensor, "b 4 4"]


class Numbers(NamedTuple):
    """One number for each item and operation, two for shifts."""

    mirror: Tensor
    upend: Tensor
    turn: Tensor
    whole_shift: Tensor
    scale: Tensor
    angle: Tensor
    stretch: Tensor
    oblique: Tensor
    shift: Tensor
    brightness: Tensor
    contrast: Tensor
    inversion: Tensor
    hue: Tensor
    saturation: Tensor


class RandomNumbers(NamedTuple):
    """What was drawn.

    Attributes:
        values: unit normal for scale, stretch, shift, brightness, contrast and saturation, else uniform in [0, 1).
        gates: uniform in [0, 1); an operation is done where it is below the operation's probability.
    """

    values: Numbers
    gates: Numbers


class NonLeakingParameters(NamedTuple):
    """What is done to each item; on the CPU.

    Attributes:
        labels: what the network is told, equations (1) to (3).
        flips: up-down, left-right.
        turns: quarter turns, counter-clockwise.
        whole_shift: pixels right and up.
        maps: equation (4).
        colours: equation (5).
    """

    labels: _Labels
    flips: Flips
    turns: Int64[Tensor, " b"]
    whole_shift: Int64[Tensor, "b 2"]
    maps: Maps
    colours: _Colours


def draw_numbers(noise: Noise) -> RandomNumbers:
    """Numbers for as many items as `noise` has generators."""
    host = noise.on("cpu")
    u, gates = host.uniform(9), host.uniform(14)
    w = host.normal(torch.empty(len(noise), 7))
    values = Numbers(
        mirror=u[:, 0],
        upend=u[:, 1],
        turn=u[:, 2],
        whole_shift=u[:, 3:5],
        scale=w[:, 0],
        angle=u[:, 5],
        stretch=w[:, 1],
        oblique=u[:, 6],
        shift=w[:, 2:4],
        brightness=w[:, 4],
        contrast=w[:, 5],
        inversion=u[:, 7],
        hue=u[:, 8],
        saturation=w[:, 6],
    )
    return RandomNumbers(values, Numbers(*gates.unbind(1)))


def decide_parameters(drawn: RandomNumbers, pipe: Pipe, *, height: int, width: int) -> NonLeakingParameters:
    """What the drawn numbers mean for images of a size; a pure function."""
    w = _gated(drawn, pipe)
    side = torch.tensor([width, height])
    whole_shift = torch.round(w.whole_shift * LARGEST_SHIFT * side).long()
    turns = w.turn.long()
    return NonLeakingParameters(
        labels=torch.cat(
            [
                _geometric_labels(w),
                _whole_labels(turns, whole_shift / (LARGEST_SHIFT * side))[:, : WHOLE_LABELS * pipe.whole],
                _colour_labels(w)[:, : COLOUR_LABELS * pipe.coloured],
            ],
            dim=1,
        ),
        flips=torch.stack([w.upend, w.mirror], 1) > 0,
        turns=turns,
        whole_shift=whole_shift,
        maps=_maps(w, side),
        colours=_colours(w),
    )


def apply_non_leaking(images: Data, parameters: NonLeakingParameters) -> Data:
    """Augmented images, same shape; those to which nothing is done are as they were.

    Args:
        images: (b, c, h, w) in [-1, 1]; `Pipe.check` says which are possible.
        parameters: from `decide_parameters`, for this size.
    """
    colours = parameters.colours
    return _changed(_moved(images, parameters), _recoloured, colours, (colours != torch.eye(4)).flatten(1).any(1))


def apply_to_masks(masks: Masks, parameters: NonLeakingParameters, *, classes: int) -> Masks:
    """Masks that move with their images: each pixel has the class that takes the largest share of it."""
    shares = functional.one_hot(masks.long(), classes).movedim(-1, 1).float()
    return _moved(shares, parameters).argmax(1).to(masks.dtype)


def _moved(images: Data, parameters: NonLeakingParameters) -> Data:
    """All geometry."""
    turns, whole_shift, maps = parameters.turns, parameters.whole_shift, parameters.maps
    images = _changed(flipped(images, parameters.flips), _turned, turns, turns != 0)
    images = _changed(images, _shifted, whole_shift, (whole_shift != 0).any(1))
    return _changed(images, warped, maps, (maps != torch.eye(3)).flatten(1).any(1))


def _gated(drawn: RandomNumbers, pipe: Pipe) -> Numbers:
    """The drawn numbers in the units of the equations, 0 where an operation is not done."""
    u = drawn.values
    values = u._replace(
        mirror=torch.floor(2 * u.mirror),
        upend=torch.floor(2 * u.upend),
        turn=torch.floor(4 * u.turn),
        whole_shift=2 * u.whole_shift - 1,
        angle=(2 * u.angle - 1) * math.radians(pipe.largest_angle),
        oblique=(2 * u.oblique - 1) * math.pi,
        inversion=torch.floor(2 * u.inversion),
        hue=(2 * u.hue - 1) * math.pi,
    )
    chances = {name: pipe.probability * getattr(pipe, name) for name in Numbers._fields if name != "oblique"}
    done = Numbers(
        *(
            torch.where((gate < chances.get(name, OBLIQUE)).view(-1, *[1] * (value.ndim - 1)), value, 0.0)
            for name, value, gate in zip(Numbers._fields, values, drawn.gates, strict=True)
        )
    )
    return done._replace(oblique=torch.where(done.stretch == 0, 0.0, done.oblique))  # so that the map is exactly none


def _geometric_labels(w: Numbers) -> _Labels:
    turned = [w.angle.cos() - 1, w.angle.sin(), w.stretch * w.oblique.cos(), w.stretch * w.oblique.sin()]
    return torch.stack([w.mirror, w.upend, w.scale, *turned, *w.shift.unbind(1)], 1)


def _whole_labels(turns: Int64[Tensor, " b"], shares: Float[Tensor, "b 2"]) -> _Labels:
    return torch.cat([torch.stack([(turns == 1) | (turns == 2), turns >= 2], 1), shares], 1)


def _colour_labels(w: Numbers) -> _Labels:
    return torch.stack([w.brightness, w.contrast, w.inversion, w.hue.cos() - 1, w.hue.sin(), w.saturation], 1)


def _maps(w: Numbers, side: Int64[Tensor, "2"]) -> Maps:
    """Equation (4)."""
    larger, longer = torch.exp2(-w.scale / 5), torch.exp2(-w.stretch / 5)
    shift = _diagonal(torch.ones_like(w.shift))
    shift[:, :2, 2] = -w.shift * side * LARGEST_SHIFT
    stretch = _rotation(-w.oblique) @ _diagonal(torch.stack([longer, 1 / longer], 1)) @ _rotation(w.oblique)
    return _diagonal(torch.stack([larger, larger], 1)) @ _rotation(w.angle) @ stretch @ shift


def _rotation(angle: PerItem) -> Maps:
    maps = _diagonal(angle.cos()[:, None].repeat(1, 2))
    maps[:, 1, 0] = angle.sin()
    maps[:, 0, 1] = -maps[:, 1, 0]
    return maps


def _diagonal(values: Float[Tensor, "b n"]) -> Float[Tensor, "b n_1 n_1"]:
    """Homogeneous matrices that scale each coordinate."""
    return torch.cat([values, torch.ones_like(values[:, :1])], 1).diag_embed()


def _colours(w: Numbers) -> _Colours:
    """Equation (5)."""
    ones = torch.ones(3)
    grey = torch.outer(ones, ones) / 3
    contrast = _diagonal(torch.exp2(w.contrast / 2)[:, None] * ones)
    contrast[:, :3, 3] = contrast[:, :3, :3] @ ones * (w.brightness / 5)[:, None]
    inversion, hue, saturation = (torch.eye(4).repeat(len(contrast), 1, 1) for _ in range(3))
    inversion[:, :3, :3] -= 2 * w.inversion.view(-1, 1, 1) * grey
    across = torch.linalg.cross(torch.eye(3), ones.expand(3, 3)) / 3**0.5
    cosine, sine = w.hue.cos().view(-1, 1, 1), w.hue.sin().view(-1, 1, 1)
    hue[:, :3, :3] = grey + cosine * (torch.eye(3) - grey) + sine * across
    saturation[:, :3, :3] = grey + torch.exp2(w.saturation).view(-1, 1, 1) * (torch.eye(3) - grey)
    return saturation @ hue @ inversion @ contrast


def _changed(images: Data, change: Callable[[Data, Tensor], Data], by: Tensor, chosen: Bool[Tensor, " b"]) -> Data:
    """The images, the chosen ones changed by their rows of `by`."""
    (rows,) = chosen.nonzero(as_tuple=True)
    if not len(rows):
        return images
    places = rows.to(images.device)
    return images.index_copy(0, places, change(images[places], by[rows]))


def _turned(images: Data, turns: Int64[Tensor, " b"]) -> Data:
    return torch.stack([image.rot90(int(turn), (-2, -1)) for image, turn in zip(images, turns, strict=True)])


def _shifted(images: Data, pixels: Int64[Tensor, "b 2"]) -> Data:
    """Moved right and up, as in EDM; what comes in is the reflection."""
    height, width = images.shape[-2:]
    rows, columns = _reflected(-pixels[:, 1], height), _reflected(pixels[:, 0], width)
    items = torch.arange(len(images))
    return images[items[:, None, None], :, rows[:, :, None], columns[:, None]].movedim(-1, 1)


def _reflected(shift: Int64[Tensor, " b"], side: int) -> Int64[Tensor, "b side"]:
    """Which pixel is seen at each place after a shift of less than a side."""
    place = (torch.arange(side) - shift[:, None]).abs()
    return torch.minimum(place, 2 * (side - 1) - place)


def _recoloured(images: Data, colours: _Colours) -> Data:
    """Grey images are treated as RGB and averaged."""
    colours = colours.to(images)
    rgb = images.expand(-1, 3, -1, -1)
    changed = torch.einsum("bij,bjhw->bihw", colours[:, :3, :3], rgb) + colours[:, :3, 3, None, None]
    return changed if images.shape[1] == 3 else changed.mean(1, keepdim=True)
