"""From the data to the settings that a recipe leaves open: every `auto` becomes a number, with its reason.

The choices are written to `plan.json` of the run, so a reader sees what was decided and why.
"""

import math
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.image import read_image
from sfumato.data.pack import Pack
from sfumato.data.source import Found
from sfumato.errors import DataError
from sfumato.recipe import Recipe, merge, parse_recipe
from sfumato.tasks.task import spread

MEASURED_CASES = 200
DEFAULT_MINUTES = 30
SMALL_SIDE = 40
LARGEST_SIDE = {"cpu": 64, "cuda": 128}
"""Side in pixels up to which training on a device takes hours, not days."""


class Choice(NamedTuple):
    """A setting that was chosen for the user."""

    choice: str
    value: Any
    reason: str


def plan_size(recipe: Recipe, found: Found, *, device: str) -> tuple[tuple[int, int], list[Choice]]:
    """The size in pixels at which to train."""
    if recipe.data.size != "auto":
        return recipe.data.size, []
    median: np.ndarray = np.median(_shapes(found), axis=0)
    limit = LARGEST_SIDE.get(device, LARGEST_SIDE["cuda"])
    scale = min(1.0, limit / median.max())
    height, width = (max(8, int(math.ceil(side * scale / 4) * 4)) for side in median)
    reason = (
        f"the images' median size is {median[0]:.0f} x {median[1]:.0f}; sides are at most {limit} on {device} "
        "and divisible by 4"
    )
    return (height, width), [Choice("data.size", [height, width], reason)]


def _shapes(found: Found) -> np.ndarray:
    """Height and width of some images; unreadable ones are left to `prepare`, which lists them all."""
    shapes = []
    for case in spread(found.cases, 20):
        with suppress(DataError):
            shapes.append(read_image(case.image).shape[:2])
    return np.array(shapes or [(64, 64)])


def plan_training(recipe: Recipe, pack: Pack, *, device: str) -> tuple[Recipe, list[Choice]]:
    """The recipe with every `auto` resolved on the training split."""
    choices = [
        *_length(recipe),
        *_network(recipe, max(pack.spec.size), device=device),
        *_sigma_data(recipe, pack),
        *_critical(recipe, pack),
    ]
    raw = recipe.model_dump(mode="json", by_alias=True)
    raw["data"]["size"] = list(pack.spec.size)
    for choice in choices:
        nested: Any = choice.value
        for key in reversed(choice.choice.split(".")):
            nested = {key: nested}
        raw = merge(raw, nested)
    return parse_recipe(raw, origin="the plan"), choices


def _length(recipe: Recipe) -> list[Choice]:
    train = recipe.train
    if train.steps or train.images or train.minutes:
        return []
    return [Choice("train.minutes", DEFAULT_MINUTES, "no length was given (--minutes, --steps or --images)")]


def _network(recipe: Recipe, side: int, *, device: str) -> list[Choice]:
    """Widths that train in the time people have: thousands of steps in a quarter of an hour on two cores."""
    if device != "cpu":
        widths, reason = {"channels": 64, "multipliers": [1, 2, 2, 4], "blocks": 2}, "a GPU"
    elif side <= SMALL_SIDE:
        widths, reason = (
            {"channels": 32, "multipliers": [1, 2, 2], "blocks": 2},
            f"images of at most {SMALL_SIDE} pixels on a CPU",
        )
    else:
        widths, reason = (
            {"channels": 16, "multipliers": [1, 2, 4, 4], "blocks": 1},
            f"images above {SMALL_SIDE} pixels on a CPU",
        )
    auto = {name: value for name, value in widths.items() if getattr(recipe.network, name) == "auto"}
    return [Choice(f"network.{name}", value, f"for {reason}") for name, value in auto.items()]


def _sigma_data(recipe: Recipe, pack: Pack) -> list[Choice]:
    if getattr(recipe.process, "sigma_data", None) != "auto":
        return []
    if recipe.task == "segment":
        return [Choice("process.sigma_data", 1.0, "one-hot masks are -1 and 1")]
    images = pack.images(spread(pack.rows("train"), MEASURED_CASES))
    measured = round(float(images.std()), 3)
    reason = f"standard deviation of {len(images)} training images in [-1, 1]"
    return [Choice("process.sigma_data", max(measured, 0.05), reason)]


def _critical(recipe: Recipe, pack: Pack) -> list[Choice]:
    """The log-SNR at which the readings of a mask separate: -ln(number of entries on which they differ)."""
    if getattr(recipe.process, "critical_log_snr", None) != "auto":
        return []
    rows = spread(pack.rows("train"), MEASURED_CASES)
    readers = [pack.masks(rows, [reader] * len(rows)).numpy() for reader in range(pack.spec.readers)]
    if len(readers) > 1:
        counts = [(a != b).reshape(len(rows), -1).sum(1) for i, a in enumerate(readers) for b in readers[:i]]
        what = "pixels on which two readers differ"
    else:
        counts, what = [_border(readers[0])], "pixels on the border of a mask"
    differing = np.concatenate(counts)
    typical = float(np.median(differing[differing > 0])) if (differing > 0).any() else 1.0
    value = round(-math.log(2 * typical), 2)  # each pixel is two entries of a one-hot mask
    return [Choice("process.critical_log_snr", value, f"-ln of twice the median number of {what}, {typical:.0f}")]


def _border(masks: np.ndarray) -> np.ndarray:
    """Number of pixels with another class to the right or below, for each mask (n, h, w)."""
    right = masks[:, :, 1:] != masks[:, :, :-1]
    below = masks[:, 1:] != masks[:, :-1]
    count: np.ndarray = right.sum((1, 2)) + below.sum((1, 2))
    return count
