"""What the files of a verb say about the model that made them."""

import hashlib
import json
from collections.abc import Mapping

from sfumato.data.formats.origin import Origin, OriginKind
from sfumato.diffusion.guidance import EVERYWHERE
from sfumato.experiment.run import Model
from sfumato.experiment.sampling import Drawing


def drawn_by(drawing: Drawing) -> dict[str, str]:
    """All that decides a result besides its model, class, seed and input, by the names of the flags.

    Empty is what nobody said, so the model's own; a snapshot that guides is named by the sha256 of its weights.
    """
    guidance = drawing.guidance
    low, high = guidance.interval
    interval = "" if guidance.interval == EVERYWHERE else f"{low!r},{high!r}"
    guided = {"guidance": guidance.scale, "guidance_interval": interval, "guide": guidance.weak_id}
    words = {**drawing.sampler.words, **guided}
    return {name: "" if value is None else str(value) for name, value in words.items()}


def made_by(model: Model, drawing: Drawing, facts: Mapping[str, str], *, kind: OriginKind = "synthetic") -> Origin:
    """The origin of a file that a model made.

    Args:
        model: the model.
        drawing: how the file was drawn.
        facts: what is needed besides to make it again; what is empty is left out.
        kind: made of noise, made from an image, or a mask or map of one.
    """
    drawn = {**drawn_by(drawing), **facts}
    named = {name.replace("_", " ").capitalize(): value for name, value in drawn.items() if value}
    return Origin(kind=kind, model=model.sha256, recipe=_recipe(model), facts=named)


def _recipe(model: Model) -> str:
    """A recipe in short: what it is of, and the sha256 of all of it, as JSON with sorted keys."""
    recipe = model.recipe
    text = json.dumps(recipe.model_dump(mode="json", by_alias=True), sort_keys=True)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return f"{recipe.task}: {recipe.process.kind}, {recipe.network.kind}; sha256 {sha256}"
