"""What the settings of a network become where a recipe leaves them open: for each kind, by where it is trained."""

from typing import Any, Literal

_Shape = dict[str, Any]
TrainingPlace = Literal["gpu", "small", "large", "small_volumes", "volumes", "volumes_gpu"]

SMALL_SIDE = 40
"""Longer side in pixels of small images."""

VOLUME_SIDE, LARGE_VOLUME_SIDE = 32, 64
"""Longest side in pixels from which volumes have room for the levels of the networks here: 4 pixels at the deepest."""

TRAINING_PLACES = {
    "gpu": "a GPU",
    "small": f"images of at most {SMALL_SIDE} pixels on a CPU",
    "large": f"images above {SMALL_SIDE} pixels on a CPU",
    "small_volumes": f"volumes below {VOLUME_SIDE} pixels",
    "volumes": f"volumes on a CPU, or below {LARGE_VOLUME_SIDE} pixels",
    "volumes_gpu": f"volumes of at least {LARGE_VOLUME_SIDE} pixels on a GPU",
}
"""Where a network is trained."""

_LEVELS: dict[str, dict[str, Any]] = {
    "gpu": {"channels": 64, "multipliers": [1, 2, 2, 4], "blocks": 2},
    "small": {"channels": 32, "multipliers": [1, 2, 2], "blocks": 2},
    "large": {"channels": 16, "multipliers": [1, 2, 4, 4], "blocks": 1},
    "small_volumes": {"channels": 16, "multipliers": [1, 2, 2], "blocks": 1},
    "volumes": {"channels": 16, "multipliers": [1, 2, 4], "blocks": 1},
    "volumes_gpu": {"channels": 32, "multipliers": [1, 2, 4, 8], "blocks": 1},
}

_UNET: dict[str, dict[str, Any]] = {
    place: {**shape, "attention": [] if "volumes" in place else [8]} for place, shape in _LEVELS.items()
}

_SCORE = _UNET | {"gpu": {"channels": 128, "multipliers": [2, 2, 2], "blocks": 4, "attention": [16]}}
"""On a GPU that of DDPM++ and NCSN++ for CIFAR-10 (Karras et al. 2022, table 7)."""

_ADM = _UNET | {"gpu": {"channels": 192, "multipliers": [1, 2, 3, 4], "blocks": 3, "attention": [32, 16, 8]}}
"""On a GPU that of ADM for ImageNet at 64 pixels (Karras et al. 2022, table 7)."""

_EDM2 = _UNET | {"gpu": {"channels": 128, "multipliers": [1, 2, 3, 4], "blocks": 3, "attention": [16, 8]}}
"""On a GPU that of EDM2-XS (Karras et al. 2024)."""

_DIT: dict[str, dict[str, Any]] = {
    "gpu": {"patch": 4, "width": 384, "depth": 12},
    "small": {"patch": 2, "width": 96, "depth": 4},
    "large": {"patch": 4, "width": 96, "depth": 4},
    "small_volumes": {"patch": 2, "width": 96, "depth": 4},
    "volumes": {"patch": 4, "width": 96, "depth": 4},
    "volumes_gpu": {"patch": 8, "width": 384, "depth": 12},
}
"""On a GPU that of DiT-S (Peebles & Xie 2023, table 1)."""

_SWIN: dict[str, dict[str, Any]] = {
    "gpu": {"channels": 96, "multipliers": [1, 2, 4], "blocks": 2, "patch": 2},
    "small": {"channels": 48, "multipliers": [1, 2, 4], "blocks": 2, "patch": 2},
    "large": {"channels": 64, "multipliers": [1, 2, 4], "blocks": 2, "patch": 4},
    "small_volumes": {"channels": 48, "multipliers": [1, 2], "blocks": 2, "patch": 2},
    "volumes": {"channels": 48, "multipliers": [1, 2], "blocks": 2, "patch": 4},
    "volumes_gpu": {"channels": 96, "multipliers": [1, 2, 4], "blocks": 2, "patch": 4},
}

_MASK_HEAD: dict[str, dict[str, Any]] = {
    "gpu": {**_LEVELS["gpu"], "queries": 32, "width": 128, "layers": 6},
    "small": {**_LEVELS["small"], "blocks": 1, "queries": 16, "width": 64, "layers": 3},
    "large": {**_LEVELS["large"], "queries": 16, "width": 32, "layers": 3},
    "small_volumes": {**_LEVELS["small_volumes"], "queries": 16, "width": 32, "layers": 3},
    "volumes": {**_LEVELS["volumes"], "queries": 16, "width": 32, "layers": 3},
    "volumes_gpu": {**_LEVELS["volumes_gpu"], "queries": 32, "width": 128, "layers": 6},
}


def _amortised(channels: int, multipliers: list[int], *, stem: int, stride: int, draw: int, **more: int) -> _Shape:
    """With one block a level and two draws of each image, unless `more` says otherwise."""
    shape = {"channels": channels, "multipliers": multipliers, "blocks": 1, "stem": stem, "stride": stride}
    return {**shape, "draw_channels": draw, "draws": 2, **more}


_AMORTISED = {
    "gpu": _amortised(64, [1, 2, 3, 4], stem=2, stride=4, draw=32, blocks=2),
    "small": _amortised(32, [1, 2, 2, 4], stem=1, stride=2, draw=16),
    "large": _amortised(64, [1, 2, 3, 4], stem=4, stride=4, draw=16),
    "small_volumes": _amortised(16, [1, 2, 2], stem=1, stride=1, draw=8, draws=1),
    "volumes": _amortised(16, [1, 2, 8], stem=2, stride=2, draw=16, draws=1),
    "volumes_gpu": _amortised(64, [1, 2, 3, 4], stem=2, stride=4, draw=32, blocks=2),
}
"""Of volumes on a CPU half the steps with two draws learn less than all with one, see RESULTS.md."""

SHAPES = {
    "unet": _UNET,
    "ddpmpp": _SCORE,
    "ncsnpp": _SCORE,
    "adm": _ADM,
    "edm2": _EDM2,
    "dit": _DIT,
    "swin": _SWIN,
    "maskhead": _MASK_HEAD,
    "amortised": _AMORTISED,
    "diffusers": _UNET,
    "monai": _UNET,
}
"""What `auto` becomes, for each kind of network that has one and each place."""


def training_place(side: int, *, device: str, dimensions: int = 2) -> TrainingPlace:
    """Where a network is trained, as `TRAINING_PLACES` tells.

    Args:
        side: the longest one in pixels of what it sees.
        device: where it is.
        dimensions: 2 for images, 3 for volumes.
    """
    if dimensions == 3 and side < VOLUME_SIDE:
        return "small_volumes"
    if dimensions == 3:
        return "volumes" if device == "cpu" or side < LARGE_VOLUME_SIDE else "volumes_gpu"
    return "gpu" if device != "cpu" else "small" if side <= SMALL_SIDE else "large"
