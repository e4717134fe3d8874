"""Models of diffusers as one file that describes itself, and back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from sfumato.builder.network import build_network
from sfumato.data.intensity import Intensity
from sfumato.data.spec import LARGEST_SIDE, Spec
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance
from sfumato.diffusion.level.schedule import Discrete
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.output_folder import claim_output, claim_output_file
from sfumato.experiment.pretrained import report_lines, transfer_weights
from sfumato.experiment.pretrained_models import PretrainedModel, read_donor
from sfumato.experiment.run import Model, complete, load_model
from sfumato.header import HEADER_KEY, header
from sfumato.networks.foreign import DiffusersUNet
from sfumato.networks.foreign.folder import SCHEDULER
from sfumato.networks.foreign.pipeline import save_pipeline
from sfumato.plain import shown
from sfumato.provenance import write_provenance
from sfumato.recipe import DEFAULTS, GaussianProcess, Recipe, merge, parse_recipe
from sfumato.recipe.scheduler import scheduler_words
from sfumato.training.weights import write_weights

ModelFormat = Literal["safetensors", "diffusers"]

EIGHT_BITS = Intensity("unit", 0.0, 255.0, "pipelines of diffusers take -1 for black and 1 for white")
_GRIDS = ("leading", "trailing", "linspace")
"""Spacings of a scheduler that are grids of ours."""


@dataclass(frozen=True)
class ImportedModel:
    """A model of others that was written as one of ours.

    Attributes:
        file: the model.safetensors.
        name: what it was imported from.
        sha256: of its weights there.
        size: height and width in pixels of its images.
        classes: their names.
        notes: what is not known of it, and how its weights were taken over.
    """

    file: Path
    name: str
    sha256: str
    size: tuple[int, int]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def import_model(
    model: Path | str,
    *,
    out: Path | str,
    size: int | tuple[int, int] | None = None,
    classes: Sequence[str] | None = None,
    overwrite: bool = False,
) -> ImportedModel:
    """Write a diffusers model as one file that describes itself; no pickle is run.

    Args:
        model: a diffusers folder, or OWNER/NAME of a model on the hub.
        out: the model.safetensors to write.
        size: pixels of both sides of its images, or height and width, where it does not say.
        classes: names of its classes in order; one row more is 'no class'. By default numbers.
        overwrite: replace a file that is there.

    Raises:
        UsageError: it is no generator of diffusers, or knows other classes.
        ModelError: it does not say how it was trained.
    """
    out, named = Path(out), str(model)
    claim = claim_output_file(out, overwrite=overwrite)
    donor = read_donor(named)
    config = donor.config
    if config is None or donor.signature is None or donor.signature.task != "generate":
        raise UsageError(
            f"{named} is no generator of diffusers",
            expected="a UNet2DModel with as many channels in as out, and its scheduler",
            remedy="a model of ours needs no import",
        )
    if "process" not in donor.words:
        raise ModelError(f"{named} has no {SCHEDULER}: nobody says how its network was trained")
    spec = _spec(donor, config, size=size, classes=classes)
    recipe = _recipe(donor, spec)
    network = build_network(recipe, spec)
    report = transfer_weights(donor, network, recipe, spec)
    with claim.file() as draft:
        write_weights(draft, network.state_dict(), header(recipe, spec, step=0))
    notes = (*(f"note: {note}" for note in donor.notes), *report_lines(report, named))
    return ImportedModel(out, donor.name, donor.sha256, spec.common_size, spec.classes, notes)


@dataclass(frozen=True)
class ExportedModel:
    """A model of ours that was written for others.

    Attributes:
        out: the file (safetensors) or folder (diffusers).
        to: the form.
        weights: which of the run's.
        classes: names in the order of the numbers that its network takes; one number more is 'no class'.
    """

    out: Path
    to: ModelFormat
    weights: str
    classes: tuple[str, ...]


def export_model(model: Path | str, *, to: ModelFormat, out: Path | str, overwrite: bool = False) -> ExportedModel:
    """Write a model for others: one file that describes itself, or a pipeline of diffusers.

    Args:
        model: a run folder, a checkpoint (also RUN/checkpoints/best-loss) or a model.safetensors; of a run the best
            averaged weights.
        to: the form: safetensors holds any model; diffusers one whose network and process it has.
        out: the file (safetensors) or folder (diffusers) to write.
        overwrite: replace what is there.

    Raises:
        UsageError: diffusers has no such network or process; something is there.
    """
    model, out = Path(model), Path(out)
    if to == "safetensors":
        return _exported_file(model, out, overwrite=overwrite)
    return _exported_pipeline(model, out, overwrite=overwrite)


def _exported_file(model: Path, out: Path, *, overwrite: bool) -> ExportedModel:
    claim = claim_output_file(out, overwrite=overwrite, inputs=[model])
    tensors, about = complete(model)
    with claim.file() as draft:
        write_weights(draft, tensors, {HEADER_KEY: json.dumps(about)})
    return ExportedModel(out, "safetensors", str(about.get("weights", "")), ())


def _exported_pipeline(model: Path, out: Path, *, overwrite: bool) -> ExportedModel:
    claim = claim_output(out, overwrite=overwrite, inputs=[model])
    found = load_model(model)
    network, scheduler = _network(found), _scheduler(found)
    with claim.folder() as folder:
        save_pipeline(folder, network, scheduler, size=found.spec.common_size)
        write_provenance(
            folder,
            inputs={"model": model},
            given_away=True,
            classes=list(found.spec.classes),
            sha256=found.sha256,
            weights=found.weights,
        )
    return ExportedModel(out, "diffusers", found.weights, found.spec.classes)


def _spec(
    donor: PretrainedModel,
    config: Mapping[str, Any],
    *,
    size: int | tuple[int, int] | None,
    classes: Sequence[str] | None,
) -> Spec:
    """What a model must know about its data, from its configuration."""
    stated = config["sample_size"] if size is None else size
    if stated is None:
        raise UsageError(f"{donor.name} does not say how large its images are", remedy="--size 64, or what they were")
    height, width = _sides(stated, donor.name)
    rows = config["num_class_embeds"] or 0
    names = list(classes or map(str, range(rows)))
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


def _recipe(donor: PretrainedModel, spec: Spec) -> Recipe:
    """The recipe of a model that was trained elsewhere: what is not known of it has our defaults."""
    words = {**donor.words, "data": {"size": list(spec.common_size)}}
    return parse_recipe(merge(DEFAULTS["generate"], words), origin=donor.name)


def _network(model: Model) -> DiffusersUNet:
    if model.recipe.data.representation != "pixels":
        raise UsageError(
            f"{model.name} diffuses the bands of a Haar packet, and a pipeline of diffusers would show them as pixels",
            expected="a generator with data.representation=pixels",
            remedy="--to safetensors",
        )
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
