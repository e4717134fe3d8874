"""What the files of a verb say about the model that made them."""

import hashlib
import json

from sfumato.data.formats.origin import Kind, Origin
from sfumato.run import Model
from sfumato.tasks.task import Sampler


def made_by(model: Model, sampler: Sampler, kind: Kind = "synthetic", **facts: str) -> Origin:
    """The origin of a file that a model made.

    Args:
        model: the model.
        sampler: how the file was drawn.
        kind: made of noise, made from an image, or a mask or map of one.
        **facts: what is needed besides to make it again.
    """
    drawn = {"Sampler": f"{sampler.name}, {sampler.steps} steps"}
    return Origin(kind=kind, model=model.sha256, recipe=_recipe(model), facts=drawn | facts)


def _recipe(model: Model) -> str:
    """A recipe in short: what it is of, and the sha256 of all of it, as JSON with sorted keys."""
    recipe = model.recipe
    text = json.dumps(recipe.model_dump(mode="json", by_alias=True), sort_keys=True)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return f"{recipe.task}: {recipe.process.kind}, {recipe.network.kind}; sha256 {sha256}"
