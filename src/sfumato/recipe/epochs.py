"""Epochs, walks through all training images, counted in images: how many there are is known once the data are."""

from typing import NamedTuple

from sfumato.recipe.load import parse_recipe
from sfumato.recipe.recipe import Recipe

EPOCH_FIELDS = (
    ("train", ""),
    ("validate", "every_"),
    ("checkpoint", "every_"),
    ("checkpoint", "keep_every_"),
    ("checkpoint", "snapshot_every_"),
    ("checkpoint", "average_every_"),
)
"""Where a recipe may say `epochs`: sections, and what stands before the word."""


class Counted(NamedTuple):
    """A field that was said in epochs.

    Attributes:
        field: its path, in images.
        images: as many.
        reason: why.
    """

    field: str
    images: int
    reason: str


def in_images(recipe: Recipe, cases: int) -> tuple[Recipe, list[Counted]]:
    """The recipe with everything in images that it says in epochs, and what that was.

    Args:
        recipe: the recipe.
        cases: training images of the data.
    """
    raw, counted = recipe.model_dump(mode="json", by_alias=True), []
    for section, prefix in EPOCH_FIELDS:
        epochs = raw[section][f"{prefix}epochs"]
        if epochs is None:
            continue
        images = max(1, round(epochs * cases))
        raw[section] |= {f"{prefix}images": images, f"{prefix}epochs": None}
        reason = f"{epochs:g} epochs of {cases} training images"
        counted.append(Counted(f"{section}.{prefix}images", images, reason))
    return parse_recipe(raw, origin="the recipe in images"), counted
