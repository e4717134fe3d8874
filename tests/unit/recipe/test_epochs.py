"""Epochs are counted in images of the training split, wherever a recipe says them."""

from sfumato.recipe import in_images, load_recipe
from sfumato.recipe.epochs import EPOCH_FIELDS
from sfumato.recipe.recipe import Recipe


def test_every_field_in_epochs_becomes_images() -> None:
    words = {f"{section}.{prefix}epochs" for section, prefix in EPOCH_FIELDS}
    parts = {"train": "train", "validate": "validate_", "checkpoint": "checkpoint"}
    known = {
        f"{section}.{name}"
        for section, field in parts.items()
        for name in type(getattr(load_recipe("segment"), field)).model_fields
        if name.endswith("epochs")
    }
    assert words == known
    settings = [f"{word}={number}" for number, word in enumerate(sorted(words), start=1)]
    recipe, counted = in_images(load_recipe("segment", settings=[*settings, "train.ema_widths=[0.1, 0.05]"]), 10)
    fields = [word.replace("epochs", "images") for word in sorted(words)]
    assert {each.field: each.images for each in counted} == {field: 10 * n for n, field in enumerate(fields, start=1)}
    assert (recipe.train.images, recipe.train.epochs) == (50, None)
    assert (recipe.validate_.every_images, recipe.validate_.every_epochs) == (60, None)
    assert counted[0].reason == "5 epochs of 10 training images"


def test_parts_of_an_epoch_are_whole_images_and_nothing_said_changes_nothing() -> None:
    def images(epochs: float, cases: int) -> int | None:
        return in_images(load_recipe("segment", settings=[f"train.epochs={epochs}"]), cases)[0].train.images

    assert [images(0.5, 7), images(0.01, 7), images(0.1, 30)] == [4, 1, 3]
    plain: Recipe = load_recipe("generate", settings=["train.steps=5"])
    assert in_images(plain, 7) == (plain, [])
