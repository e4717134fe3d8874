"""A run folder, and the model that it or a single file holds.

One file describes itself: the header of a `model.safetensors` carries the recipe and what the model must know about
its data, so `sfumato segment model.safetensors image.png` needs nothing else.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import nn

from sfumato.builder.network import build_network
from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_guidance, build_run_sampler
from sfumato.data.spec import Spec
from sfumato.diffusion.guidance import Guidance
from sfumato.diffusion.process import Process
from sfumato.errors import ModelError, UsageError, listed
from sfumato.files import read_text
from sfumato.provenance import digest
from sfumato.recipe import Recipe, Sample, parse_recipe
from sfumato.tasks.pairs import Layout
from sfumato.tasks.task import Sampler
from sfumato.training.checkpoint import load, marked, named, newest
from sfumato.training.weights import fill, load_weights, write_weights

AVERAGED = "ema.safetensors"
"""The averaged weights inside a checkpoint."""

TWIN = "twin"
"""Folder inside a run that holds its deterministic twin, itself a run, and inside predictions those of the twin."""

HEADER_KEY = "sfumato"
"""Key of the safetensors metadata under which a model describes itself, as JSON."""


class Model(NamedTuple):
    """A trained model, ready to use.

    Attributes:
        name: the file or run that it came from.
        recipe: how it was trained, every `auto` resolved.
        spec: what it must know about its data.
        process: the diffusion process.
        network: averaged weights, in evaluation mode.
        step: training steps done.
        sha256: of the weights file, of a run the checkpoint's.
        curve: quality by network calls as JSON (`sfumato.calls`), if it was measured.
        average: of a width, what it was made from, as JSON.
        review: what error to expect of its masks (`sfumato.evaluation.review`), as JSON by the way of drawing them.
    """

    name: str
    recipe: Recipe
    spec: Spec
    process: Process
    network: nn.Module
    step: int
    sha256: str
    curve: Mapping[str, Any] | None = None
    average: Mapping[str, Any] | None = None
    review: Mapping[str, Any] | None = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def layout(self) -> Layout:
        """Which channels of what a generator makes are the image, and which the mask."""
        return Layout.of(self.recipe.data.pairs, self.spec)

    def sampler(self, **changes: Any) -> Sampler:
        """The recipe's sampler with some of its words changed; None changes nothing."""
        return build_run_sampler(self.recipe, self._sample(changes), self.spec, self.process)

    def guidance(self, guide: "Model | None" = None, **changes: Any) -> Guidance:
        """The recipe's guidance with some of its words changed; None changes nothing.

        Args:
            guide: an earlier snapshot or a smaller model, for autoguidance; None for classifier-free guidance.
            **changes: fields of `Sample`.

        Raises:
            UsageError: the guide is of another process or of other data, or guidance is impossible for this model.
        """
        if guide is not None:
            _check_guide(self, guide)
        weak, classes = None if guide is None else guide.network, len(self.spec.classes)
        if self.recipe.task == "segment":
            classes = 0  # its network is told no label
        from_mask = self.recipe.data.pairs == "image_from_mask"
        return build_guidance(self._sample(changes), self.process, classes=classes, from_mask=from_mask, weak=weak)

    def _sample(self, changes: Mapping[str, Any]) -> Sample:
        given = {key: value for key, value in changes.items() if value is not None}
        words = self.recipe.sample.model_dump()
        if "churn" in given:
            given["churn"] = {**words["churn"], "amount": given["churn"]}
        return Sample.model_validate({**words, **given})


def header(recipe: Recipe, spec: Spec, *, step: int, average: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Safetensors metadata by which a model describes itself; `average` tells of one that has a width."""
    about = {"recipe": recipe.model_dump(mode="json", by_alias=True), "spec": spec.to_dict(), "step": step}
    about |= {} if average is None else {"average": average}
    return {HEADER_KEY: json.dumps(about)}


def keep_curve(path: Path, curve: Mapping[str, Any]) -> Path:
    """Write a model's curve into its header: of a run into RUN/model.safetensors, else into the file itself.

    Args:
        path: a run folder or a model.
        curve: quality by network calls, as JSON.

    Returns:
        The file written.
    """
    return _keep(path, lambda about: {**about, "curve": curve})


def keep_review(path: Path, way: str, calibration: Mapping[str, Any]) -> Path:
    """Write what error to expect of masks drawn in a way into the model's header; see `keep_curve`."""
    return _keep(path, lambda about: {**about, "review": {**about.get("review", {}), way: calibration}})


def _keep(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Change what the header of a model says about it."""
    file = Run(path).weights() if path.is_dir() else path
    tensors, metadata = load_weights(file)
    about = change(json.loads(metadata[HEADER_KEY]))
    if path.is_dir():
        about.setdefault("of", digest(file))
    target = Run(path).model if path.is_dir() else path
    write_weights(target, tensors, {HEADER_KEY: json.dumps(about)})
    return target


def load_model(path: Path | str, *, device: str = "cpu") -> Model:
    """The model in a run folder (its best checkpoint, else the last), in a checkpoint or in a safetensors file.

    Raises:
        ModelError: there is none, it is damaged, or it was not written by sfumato.
    """
    path = Path(path)
    file = weights_of(path)
    tensors, metadata = load_weights(file)
    try:
        about = json.loads(metadata[HEADER_KEY])
    except (KeyError, json.JSONDecodeError):
        raise ModelError(
            f"{file} does not say how it was trained", expected="a safetensors file written by sfumato"
        ) from None
    recipe, spec = parse_recipe(about["recipe"], origin=str(file)), Spec.from_dict(about["spec"])
    network = build_network(recipe, spec)
    fill(network, tensors, source=str(file))
    network = network.to(device).eval().requires_grad_(False)
    return Model(
        str(path),
        recipe,
        spec,
        build_process(recipe),
        network,
        about["step"],
        about.get("of") or digest(file) or "",
        about.get("curve"),
        about.get("average"),
        about.get("review"),
    )


def load_guide(words: str, model: Path, *, device: str = "cpu") -> Model:
    """The model that `--guide` names: by a path, or by the step of a checkpoint or snapshot of the same run.

    Args:
        words: a path as in `load_model`, `step-000100`, or `100`.
        model: where the guided model came from.
        device: where to put it.

    Raises:
        UsageError: the run has no such step.
    """
    named = re.fullmatch(r"(?:step-)?(\d+)", words)
    if named is None:
        return load_model(words, device=device)
    run, step = Run(model), f"step-{int(named[1]):08d}"
    places = (run.snapshots / f"{step}.safetensors", run.checkpoints / step)
    found = next((place for place in places if place.exists()), None)
    if found is None:
        steps = sorted({place.stem for folder in (run.snapshots, run.checkpoints) for place in folder.glob("step-*")})
        raise UsageError(
            f"{model} has no snapshot or checkpoint of step {int(named[1])}",
            expected=", ".join(steps) or "a run folder with snapshots or checkpoints",
            remedy="train with --set checkpoint.snapshot_every_steps=1000 to keep more",
        )
    return load_model(found, device=device)


def _check_guide(model: Model, guide: Model) -> None:
    """Both estimates are combined pixel by pixel at the same noise level: data and process must be the same."""
    ours, theirs = _meaning(model), _meaning(guide)
    differences = [
        f"{name}: {theirs[name]} instead of {value}"
        for name, value in ours.items()
        if name in theirs and theirs[name] != value
    ]
    if differences:
        raise UsageError(
            f"{guide.name} cannot guide {model.name}:\n{listed(differences)}",
            expected="a model of the same data and process, less trained or smaller",
            remedy="an earlier snapshot of the same run",
        )


def _meaning(model: Model) -> dict[str, Any]:
    """What an estimate of a model is an estimate of."""
    names = ("size", "channels", "mask_classes" if model.recipe.task == "segment" else "classes")
    process = model.recipe.process.model_dump()
    return {
        "task": model.recipe.task,
        "pairs": model.recipe.data.pairs,
        **{name: getattr(model.spec, name) for name in names},
        **{f"process.{name}": value for name, value in process.items()},
    }


def weights_of(path: Path) -> Path:
    """The file with the averaged weights of a run, a checkpoint, a file like `checkpoints/best` or a model."""
    checkpoint = named(path)
    if checkpoint is not None:
        return load(checkpoint).path / AVERAGED
    return Run(path).weights() if path.is_dir() else path


@dataclass(frozen=True)
class Run:
    """The folder of one training run."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.folder / "checkpoints"

    @property
    def model(self) -> Path:
        """The model to give away: the best weights and all that was measured about them."""
        return self.folder / "model.safetensors"

    @property
    def snapshots(self) -> Path:
        """Where averaged weights of earlier steps are kept."""
        return self.folder / "snapshots"

    @property
    def averages(self) -> Path:
        """Where averages with a width are kept, of which others are made."""
        return self.folder / "averages"

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe: every `auto` has become a number."""
        raw = yaml.safe_load(read_text(self.recipe_file))
        return parse_recipe(raw, origin=str(self.recipe_file))

    @property
    def twin(self) -> "Run":
        """Its deterministic twin, which may not exist."""
        return Run(self.folder / TWIN)

    @property
    def record(self) -> dict[str, Any]:
        """`run.json`: the dataset, relative to the run or absolute, and what it was like."""
        file = self.folder / "run.json"
        try:
            record: dict[str, Any] = json.loads(read_text(file))
        except (OSError, json.JSONDecodeError):
            raise UsageError(f"{self.folder} is not a run folder", expected=f"{file} naming its dataset") from None
        return record

    @property
    def dataset(self) -> Path:
        """The prepared dataset that the run trains on."""
        return (self.folder / str(self.record["dataset"])).resolve()

    def found_dataset(self) -> Path:
        """The dataset, which must be where the run says.

        Raises:
            UsageError: it is not; with the command that tells the run where it is now.
        """
        if not self.dataset.is_dir():
            raise UsageError(
                f"the dataset of {self.folder} is no longer at {self.dataset}",
                expected="the dataset that it was started with, wherever it lies now",
                remedy=f"sfumato resume {self.folder} --dataset FOLDER, where it is now",
            )
        return self.dataset

    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.recipe_file.is_file()

    def weights(self) -> Path:
        """The averaged weights of the best checkpoint, else of the newest that verifies."""
        best = marked(self.checkpoints, "best")
        checkpoint = load(best) if best is not None and best.is_dir() else newest(self.checkpoints)
        if checkpoint is None:
            raise ModelError(
                f"{self.folder} holds no checkpoint",
                expected="a run folder with checkpoints/step-...",
                remedy="train longer, or name the .safetensors file itself",
            )
        weights = checkpoint.path / AVERAGED
        return self.model if self._is_of(weights) else weights

    def _is_of(self, weights: Path) -> bool:
        """Whether RUN/model.safetensors was made from these weights; it is passed over once the run has gone on."""
        if not self.model.is_file():
            return False
        _, metadata = load_weights(self.model)
        about = json.loads(metadata.get(HEADER_KEY, "{}"))
        return bool(about.get("of") == digest(weights))
