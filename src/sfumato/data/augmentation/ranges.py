"""How far augmentation goes: its ranges, presets of them, and which suit what made the images."""

from typing import Literal, NamedTuple

Preset = Literal["none", "light", "medium", "heavy"]


class Ranges(NamedTuple):
    """How far augmentation goes. Each number is drawn uniformly between its negative and itself, unless said otherwise.

    Attributes:
        mirror: probability of a left-right flip.
        upend: probability of an up-down flip.
        flip_depth: probability of a front-to-back flip of volumes.
        angle: rotation in degrees, of volumes about the axis through their planes.
        tilt: rotation of volumes about their other two axes, as a share of `angle`.
        scale: logarithm of the magnification.
        aspect: logarithm of the ratio of width to height.
        shift: shift as a share of the side.
        crop: largest share of the side that is cut away; drawn from 0, the rest is enlarged.
        elastic: displacement of the nodes in pixels; folds when it is above an eighth of the side.
        brightness: added to the image.
        contrast: logarithm of the contrast factor.
        gamma: logarithm of the exponent.
        bias_field: largest logarithm of a factor that changes smoothly over the image; drawn from 0, for half of the
            items.
        blur: largest standard deviation of the blur in pixels; drawn from 0, for half of the items.
        low_resolution: by how much pixels become larger at most, in their own size; drawn from 0, for half of the
            items.
        noise: largest standard deviation of the noise; drawn from 0, for half of the items.
    """

    mirror: float = 0.0
    upend: float = 0.0
    flip_depth: float = 0.0
    angle: float = 0.0
    tilt: float = 0.0
    scale: float = 0.0
    aspect: float = 0.0
    shift: float = 0.0
    crop: float = 0.0
    elastic: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    bias_field: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    noise: float = 0.0


class _Choice(NamedTuple):
    """Ranges that were chosen for the user.

    Attributes:
        ranges: how far to go.
        reason: why, in a sentence.
    """

    ranges: Ranges
    reason: str


PRESETS: dict[Preset, Ranges] = {
    "none": Ranges(),
    "light": Ranges(mirror=0.5, shift=0.04),
    "medium": Ranges(mirror=0.5, angle=15, scale=0.12, shift=0.06, brightness=0.1, contrast=0.1, gamma=0.1),
    "heavy": Ranges(
        mirror=0.5,
        upend=0.5,
        angle=180,
        scale=0.25,
        aspect=0.1,
        shift=0.1,
        elastic=2.0,
        brightness=0.2,
        contrast=0.2,
        gamma=0.25,
        blur=1.0,
        noise=0.08,
    ),
}
"""`medium` keeps anatomy upright; `heavy` is for pictures without an up, such as skin or cells."""

_UPRIGHT = Ranges(angle=10, scale=0.1, shift=0.05, brightness=0.1, contrast=0.1, gamma=0.1)
_ANY_WAY_UP = PRESETS["medium"]._replace(upend=0.5, angle=180)
_BY_MODALITY: dict[str, _Choice] = {
    "xray": _Choice(
        _UPRIGHT, "X-rays are upright and the heart is on one side, so no flips; small turns and exposures"
    ),
    "ct": _Choice(
        _UPRIGHT._replace(brightness=0.05, contrast=0.05, gamma=0.0),
        "left and right, up and down are anatomy in CT and its numbers are absolute, so no flips and little light",
    ),
    "mr": _Choice(_UPRIGHT, "left and right, up and down are anatomy in MR, so no flips; its brightness is arbitrary"),
    "ultrasound": _Choice(
        PRESETS["medium"], "the probe may be held either way, but depth is always down in ultrasound"
    ),
    "photo": _Choice(_ANY_WAY_UP, "photographs of skin or tissue have no up: all flips and rotations"),
    "dermoscopy": _Choice(_ANY_WAY_UP, "skin has no up: all flips and rotations"),
    "microscopy": _Choice(_ANY_WAY_UP, "cells have no up: all flips and rotations"),
}


class _Addition(NamedTuple):
    """What patches of images at their own resolution get besides.

    Attributes:
        changes: further ranges.
        reason: why, as the end of a sentence.
    """

    changes: dict[str, float]
    reason: str


_COARSER: dict[str, float] = {"low_resolution": 1.0}
_IN_PATCHES: dict[str, _Addition] = {
    "ct": _Addition({**_COARSER, "tilt": 1.0}, "heads also nod and tilt, and scans are coarser elsewhere"),
    "mr": _Addition(
        {**_COARSER, "tilt": 1.0, "bias_field": 0.3},
        "heads also nod and tilt, scans are coarser elsewhere and brighter near a coil",
    ),
    "microscopy": _Addition({**_COARSER, "flip_depth": 0.5}, "other microscopes are coarser"),
}
_PATCHES_OF_OTHERS = _Addition(_COARSER, "other devices are coarser")


def choose(modality: str | None, *, task: Literal["segment", "generate"], patches: bool = False) -> _Choice:
    """The augmentation that suits what made the images.

    Args:
        modality: `xray`, `ct`, `mr`, `ultrasound`, `photo`, `dermoscopy` or `microscopy`, upper or lower case; anything
            else is unknown.
        task: what is trained.
        patches: whether on patches at the images' own resolution, where a coarser one can be simulated.
    """
    if task == "generate":
        return _Choice(
            PRESETS["none"],
            "whatever is done to training images appears in generated ones; `non_leaking` varies them without that",
        )
    unknown = _Choice(PRESETS["medium"], "what made the images is not known: nothing that turns anatomy upside down")
    word = (modality or "unknown").lower()
    choice = _BY_MODALITY.get(word, unknown)
    if not patches:
        return choice
    more = _IN_PATCHES.get(word, _PATCHES_OF_OTHERS)
    return _Choice(choice.ranges._replace(**more.changes), f"{choice.reason}; {more.reason}")
