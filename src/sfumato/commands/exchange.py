"""`sfumato import`, `sfumato export`: models from diffusers into one file that describes itself, and back."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from sfumato.builder.network import build_network
from sfumato.commands.flags.words import parse_size
from sfumato.data.intensity import Intensity
from sfumato.data.spec import LARGEST_SIDE, Spec
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance
from sfumato.diffusion.level.schedule import Discrete
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.output_folder import claim_output, claim_output_file
from sfumato.experiment.pretrained import implant, report_lines
from sfumato.experiment.pretrained_models import Donor, read_donor
from sfumato.experiment.run import Model, complete, load_model
from sfumato.header import HEADER_KEY, header
from sfumato.networks.foreign import DiffusersUNet
from sfumato.networks.foreign.folder import SCHEDULER
from sfumato.networks.foreign.pipeline import save_pipeline
from sfumato.plain import shown
from sfumato.progress import say
from sfumato.provenance import write_provenance
from sfumato.recipe import DEFAULTS, GaussianProcess, Recipe, merge, parse_recipe
from sfumato.recipe.scheduler import scheduler_words
from sfumato.training.weights import write_weights

EIGHT_BITS = Intensity("unit", 0.0, 255.0, "pipelines of diffusers take -1 for black and 1 for white")
_GRIDS = ("leading", "trailing", "linspace")
"""Spacings of a scheduler that are grids of ours."""


def import_(
    model: str,
    /,
    *,
    out: Path,
    size: str | None = None,
    classes: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a diffusers model as one file that describes itself; no pickle is run.

    Args:
        model: A diffusers folder, or OWNER/NAME of a model on the hub.
        out: The model.safetensors to write.
        size: Height and width in pixels of its images, where it does not say; like 64 or 96x128.
        classes: Names of its classes in order, like benign,malignant; one row more is 'no class'. By default numbers.
        overwrite: Replace a file that is there.
    """
    claim = claim_output_file(out, overwrite=overwrite)
    donor = read_donor(model)
    config = donor.config
    if config is None or donor.signature is None or donor.signature.task != "generate":
        raise UsageError(
            f"{model} is no generator of diffusers",
            expected="a UNet2DModel with as many channels in as out, and its scheduler",
            remedy="a model of ours needs no import",
        )
    if "process" not in donor.words:
        raise ModelError(f"{model} has no {SCHEDULER}: nobody says how its network was trained")
    spec = _spec(donor, config, size=size, classes=classes)
    recipe = _recipe(donor, spec)
    network = build_network(recipe, spec)
    report = implant(donor, network, recipe, spec)
    with claim.file() as draft:
        write_weights(draft, network.state_dict(), header(recipe, spec, step=0))
    for line in (*(f"note: {note}" for note in donor.notes), *report_lines(report, model)):
        say(line)
    return {"model": str(out), "of": donor.name, "sha256": donor.sha256, "size": spec.size, "classes": spec.classes}


def export(
    model: Path, /, *, to: Literal["safetensors", "diffusers"], out: Path, overwrite: bool = False
) -> dict[str, Any]:
    """Write a model for others: one file that describes itself, or a pipeline of diffusers.

    Args:
        model: A run folder, a checkpoint (also RUN/checkpoints/best-loss) or a model.safetensors; of a run the best
            averaged weights.
        to: The form: safetensors holds any model; diffusers one whose network and process it has.
        out: The file (safetensors) or folder (diffusers) to write.
        overwrite: Replace what is there.
    """
    if to == "safetensors":
        claimed = claim_output_file(out, overwrite=overwrite, inputs=[model])
        tensors, about = complete(model)
        with claimed.file() as draft:
            write_weights(draft, tensors, {HEADER_KEY: json.dumps(about)})
        return {"model": str(model), "to": to, "out": str(out), "weights": about.get("weights", "")}
    claim = claim_output(out, overwrite=overwrite, inputs=[model])
    found = load_model(model)
    network, scheduler = _network(found), _scheduler(found)
    with claim.folder() as folder:
        save_pipeline(folder, network, scheduler, size=found.spec.size)
        write_provenance(
            folder,
            inputs={"model": model},
            given_away=True,
            classes=list(found.spec.classes),
            sha256=found.sha256,
            weights=found.weights,
        )
    if found.spec.classes:
        names = ", ".join(f"{index} {name}" for index, name in enumerate([*found.spec.classes, "no class"]))
        say(f"its network needs class_labels, which DDPMPipeline does not give: {names}")
    return {"model": str(model), "to": to, "out": str(out), "classes": found.spec.classes}


def _spec(donor: Donor, config: Mapping[str, Any], *, size: str | None, classes: str | None) -> Spec:
    """What a model must know about its data, from its configuration."""
    stated = config["sample_size"] if size is None else parse_size(size)
    if stated is None:
        raise UsageError(f"{donor.name} does not say how large its images are", remedy="--size 64, or what they were")
    height, width = _sides(stated, donor.name)
    rows = config["num_class_embeds"] or 0
    names = classes.split(",") if classes else [str(index) for index in range(rows)]
    if rows not in {len(names), len(names) + 1} or (config["class_embed_type"] and not classes):
        raise UsageError(
            f"{donor.name} knows {rows} classes",
            expected=f"as many names, or {rows - 1} and a row for 'no class'",
            remedy="correct --classes",
        )
    assert donor.signature is not None
    return Spec(
        size=(height, width),
        channels=donor.signature.state,
        dtype="uint8",
        intensity=EIGHT_BITS,
        classes=tuple(names),
    )


def _sides(stated: Any, name: str) -> tuple[int, int]:
    """Height and width of what a configuration says of its images: one number, or two."""
    sides = tuple(stated) if isinstance(stated, list | tuple) else (stated, stated)
    if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
        raise ModelError(
            f"{name} says that its images have {shown(stated)} pixels",
            expected=f"height and width up to {LARGEST_SIDE}",
            remedy="--size 64, or what they were",
        )
    height, width = sides
    return height, width


def _recipe(donor: Donor, spec: Spec) -> Recipe:
    """The recipe of a model that was trained elsewhere: what is not known of it has our defaults."""
    words = {**donor.words, "data": {"size": list(spec.size)}}
    return parse_recipe(merge(DEFAULTS["generate"], words), origin=donor.name)


def _network(model: Model) -> DiffusersUNet:
    if model.recipe.task == "generate" and not model.layout.paired and isinstance(model.network, DiffusersUNet):
        return model.network
    raise UsageError(
        f"{model.name} is a {model.recipe.network.kind} for task {model.recipe.task}, which no pipeline of diffusers "
        "can hold",
        expected="a generator with network.kind diffusers or pretrained",
        remedy="--to safetensors",
    )


def _scheduler(model: Model) -> dict[str, Any]:
    """The settings of its scheduler."""
    process, words = model.process, model.recipe.process
    plain = process.process if isinstance(process, LearnedVariance) else process
    if not isinstance(words, GaussianProcess) or not isinstance(plain, Gaussian):
        raise UsageError(
            f"{model.name} has the process {words.kind}, and no scheduler of diffusers is like it",
            expected="process.kind=gaussian",
            remedy="--to safetensors",
        )
    assert isinstance(plain.schedule, Discrete)
    settings = scheduler_words(words, table=plain.schedule.betas.to(torch.float64).tolist())
    grid = model.recipe.sample.grid
    return {**settings, "timestep_spacing": grid} if grid in _GRIDS else settings
