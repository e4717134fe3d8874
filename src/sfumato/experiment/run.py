"""A run folder, and the model that it or a single file holds.

One file describes itself: the header of a `model.safetensors` carries the recipe and what the model must know about
its data, so `sfumato segment model.safetensors image.png` needs nothing else.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from sfumato.atomic import write_atomic
from sfumato.builder.data import build_representation
from sfumato.builder.held import build_held, built
from sfumato.builder.network import data_channels
from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_guidance, build_run_sampler
from sfumato.data.spec import Spec
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.diffusion.process import Process
from sfumato.diffusion.representation import Representation
from sfumato.errors import ModelError, UsageError, listed
from sfumato.files import matching
from sfumato.header import HEADER_KEY, About, Header, Measured, read_about, read_model_header
from sfumato.local import MARK, Names, found
from sfumato.measured import keep_measured, read_measured
from sfumato.plain import mistakes, read_object, shaped
from sfumato.provenance import digest
from sfumato.recipe import Recipe, Sample, parse_recipe, read_recipe
from sfumato.tasks.counting import count_calls
from sfumato.tasks.pairs import Layout
from sfumato.tasks.seen import sees_once
from sfumato.tasks.task import Sampler
from sfumato.training.best import best_words
from sfumato.training.checkpoint import load, marked, named_checkpoint, newest
from sfumato.training.weights import load_weights

AVERAGED = "ema.safetensors"
"""The averaged weights inside a checkpoint."""

CHECKPOINTS = "checkpoints"
"""Folder inside a run that holds its checkpoints."""

ControlName = Literal["twin", "ssn"]
"""Models that are trained beside a diffusion model of masks for as many steps: its deterministic twin, and logits that
are drawn, in one call each."""

CONTROLS: tuple[ControlName, ...] = get_args(ControlName)
TWIN: ControlName = "twin"
"""Folder inside a run that holds its deterministic twin, itself a run, and inside predictions those of the twin; the
same of other controls."""


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
        curve: quality by network calls as JSON (`sfumato.experiment.fewest_steps`), if it was measured.
        average: of a width, what it was made from, as JSON.
        weights: what the weights are among those of their run, in words, if it is known.
        review: what error to expect of its masks (`sfumato.evaluation.review`), as JSON by the way of drawing them.
        postprocess: which repairs help these masks (`sfumato.evaluation.postprocess`), likewise.
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
    weights: str = ""
    postprocess: Mapping[str, Any] | None = None

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def layout(self) -> Layout:
        """Which channels of what a generator makes are the image, and which the mask."""
        return Layout.of(self.recipe.data.pairs, self.spec)

    @property
    def representation(self) -> Representation:
        """What a generator diffuses in place of images."""
        return build_representation(self.recipe.data)

    @property
    def provenance(self) -> dict[str, Any]:
        """What identifies it, for the provenance of what it makes: no path."""
        return {"name": Path(self.name).name, "sha256": self.sha256, "step": self.step}

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
        built = build_guidance(self._sample(changes), self.process, classes=classes, from_mask=from_mask, weak=weak)
        return built if guide is None else replace(built, weak_id=guide.sha256)

    @property
    def window(self) -> tuple[int, ...] | None:
        """Sides of the windows in which it sees images, as large as the patches it was trained on; None: whole."""
        patch = self.recipe.data.patch
        return patch if isinstance(patch, tuple) else None

    @property
    def sees_once(self) -> bool:
        """Whether an image is seen once for all its masks; see `tasks.seen`."""
        return sees_once(self.network, self.process)

    def calls(self, sampler: Sampler, guidance: Guidance = UNGUIDED) -> int:
        """Network calls of one result, those of a guide counted."""
        return count_calls(self.process, sampler, guidance, channels=data_channels(self.recipe, self.spec))

    def _sample(self, changes: Mapping[str, Any]) -> Sample:
        given = {key: value for key, value in changes.items() if value is not None}
        words = self.recipe.sample.model_dump()
        if "churn" in given:
            given["churn"] = {**words["churn"], "amount": given["churn"]}
        try:
            return Sample.model_validate({**words, **given})
        except ValidationError as error:
            raise UsageError(
                f"so nothing can be drawn: {'; '.join(mistakes(error))}", remedy="see docs/recipe.md"
            ) from None


def write_recipe(file: Path, recipe: Recipe) -> None:
    """Write a resolved recipe; paths in it as the folder of the file names them, see `sfumato.local`."""
    names = Names(file.parent)
    told = recipe.named(lambda path: path if path.startswith(MARK) else names(path))
    names.keep()
    write_atomic(file, told.to_yaml())


def keep_curve(path: Path, sha256: str, curve: Mapping[str, Any]) -> Path:
    """Keep a model's curve beside it.

    Args:
        path: a run folder or a model.
        sha256: of the model.
        curve: quality by network calls, as JSON.

    Returns:
        The file written.
    """
    return keep_measured(path, sha256, _finite(path, {"curve": curve}))


def keep_review(path: Path, sha256: str, way: str, calibration: Mapping[str, Any]) -> Path:
    """Keep what error to expect of masks drawn in a way beside the model; see `keep_curve`."""
    return _keep_way(path, sha256, "review", way, calibration)


def keep_postprocess(path: Path, sha256: str, way: str, repairs: Mapping[str, Any]) -> Path:
    """Keep which repairs help masks drawn in a way beside the model; see `keep_curve`."""
    return _keep_way(path, sha256, "postprocess", way, repairs)


def _keep_way(path: Path, sha256: str, name: str, way: str, measured: Mapping[str, Any]) -> Path:
    known = read_measured(path, sha256).get(name, {})
    return keep_measured(path, sha256, _finite(path, {name: {**known, way: measured}}))


def _finite(path: Path, measured: dict[str, Any]) -> dict[str, Any]:
    """What was measured, where it is what a reader takes: a number that is none would be within any tolerance.

    Raises:
        ModelError: it holds NaN or infinite numbers.
    """

    def fault(finding: str) -> ModelError:
        return ModelError(
            f"what was measured of {path} {finding}",
            expected="finite numbers",
            remedy="train it longer, or measure another checkpoint",
        )

    shaped(Measured.model_validate, measured, fault)
    return measured


def complete(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a model to be given away, and all that is known about it: also what was measured of it."""
    file = weights_of(path)
    tensors, metadata = load_weights(file)
    header = read_model_header(metadata, source=file) if HEADER_KEY in metadata else None
    about: dict[str, Any] = json.loads(metadata.get(HEADER_KEY, "{}"))
    sha256 = (header and header.of) or digest(file) or ""
    if measured := _measured(path, sha256, header):
        about |= {**measured, "of": sha256}
    if words := _words_of(file):
        about["weights"] = words
    return tensors, about


def _measured(path: Path, sha256: str, header: Header | None) -> dict[str, Any]:
    """What was measured of a model: what lies beside it, over what its header tells."""

    def fault(finding: str) -> ModelError:
        return ModelError(
            f"what was measured of {path} {finding}",
            expected="measured.json as sfumato writes it",
            remedy="delete it: it is measured again where it is needed",
        )

    beside = shaped(Measured.model_validate, read_measured(path, sha256), fault)
    told = header or Measured()
    both = {
        "curve": beside.curve or told.curve,
        "review": {**(told.review or {}), **(beside.review or {})},
        "postprocess": {**(told.postprocess or {}), **(beside.postprocess or {})},
    }
    plain = Measured.model_validate(both).model_dump(mode="json", exclude_unset=True)
    return {name: value for name, value in plain.items() if value}


def load_model(path: Path | str, *, device: str = "cpu") -> Model:
    """The model in a run folder (its best checkpoint, else the last), in a checkpoint or in a safetensors file.

    Raises:
        ModelError: there is none, it is damaged, or it was not written by sfumato.
    """
    found = read_model(Path(path))
    (recipe, spec, about), source = found.about, str(found.file)
    network = build_held(recipe, spec, found.tensors, source=source)
    with built("sampler", source):
        process = build_process(recipe)
        drawn = recipe.sample.model_copy(update={"start": "noise"})  # what it starts from may lie elsewhere
        build_run_sampler(recipe, drawn, spec, process)
    measured = _measured(Path(path), found.sha256, about)
    return Model(
        str(path),
        recipe,
        spec,
        process,
        network.to(device).eval().requires_grad_(False),
        about.step,
        found.sha256,
        measured.get("curve"),
        None if about.average is None else about.average.model_dump(mode="json", exclude_unset=True),
        measured.get("review"),
        found.weights,
        measured.get("postprocess"),
    )


def with_measurements(model: Model) -> Model:
    """The same model, with what was measured of it since it was loaded."""
    beside = _measured(Path(model.name), model.sha256, None)
    review = {**(model.review or {}), **beside.get("review", {})}
    postprocess = {**(model.postprocess or {}), **beside.get("postprocess", {})}
    return model._replace(
        curve=beside.get("curve", model.curve), review=review or None, postprocess=postprocess or None
    )


class ModelFile(NamedTuple):
    """A model that was read, and not built yet.

    Attributes:
        file: where its weights are.
        sha256: of the weights; of a run the checkpoint's.
        about: what it says of itself.
        tensors: all that it holds, by name.
        weights: what the weights are among those of their run, in words, if it is known.
    """

    file: Path
    sha256: str
    about: About
    tensors: Mapping[str, Tensor]
    weights: str


def read_model(path: Path) -> ModelFile:
    """What `load_model` builds a network of; nothing is imported or built.

    Raises:
        ModelError: as for `load_model`.
    """
    file = weights_of(path)
    tensors, metadata = load_weights(file)
    about = read_about(metadata, source=file)
    sha256 = about.header.of or digest(file) or ""
    return ModelFile(file, sha256, about, tensors, about.header.weights or _words_of(file))


def _words_of(file: Path) -> str:
    """What averaged weights in a checkpoint are among those of their run; empty for any other file."""
    return best_words(file.parent) if file.name == AVERAGED and file.parent.parent.name == CHECKPOINTS else ""


def load_guide(words: str, model: Path, *, device: str = "cpu") -> Model:
    """The model that `--guide` names: by a path, or by the step of a checkpoint or snapshot of the same run.

    Args:
        words: a path as in `load_model`, `step-000100`, `100`, or `best`, `best-loss`, `last`.
        model: where the guided model came from.
        device: where to put it.

    Raises:
        UsageError: the run has no such step.
    """
    pointer = Run(model).checkpoints / words
    if re.fullmatch(r"last|best(-\w+)?", words) and named_checkpoint(pointer) is not None:
        return load_model(pointer, device=device)
    numbered = re.fullmatch(r"(?:step-)?(\d+)", words)
    if numbered is None:
        return load_model(words, device=device)
    run, step = Run(model), f"step-{int(numbered[1]):08d}"
    places = (run.snapshots / f"{step}.safetensors", run.checkpoints / step)
    found = next((place for place in places if place.exists()), None)
    if found is None:
        steps = sorted(
            {place.stem for folder in (run.snapshots, run.checkpoints) for place in matching(folder, "step-*")}
        )
        raise UsageError(
            f"{model} has no snapshot or checkpoint of step {int(numbered[1])}",
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
        **{
            f"data.{name}": getattr(model.recipe.data, name) for name in ("representation", "levels", "band_deviations")
        },
        **{name: getattr(model.spec, name) for name in names},
        **{f"process.{name}": value for name, value in process.items()},
    }


def weights_of(path: Path) -> Path:
    """The file with the averaged weights of a run, a checkpoint, a file like `checkpoints/best` or a model."""
    checkpoint = named_checkpoint(path)
    if checkpoint is not None:
        return load(checkpoint).path / AVERAGED
    return Run(path).weights() if path.is_dir() else path


class _Record(BaseModel):
    """What `run.json` holds."""

    model_config = ConfigDict(extra="allow")

    dataset: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
    sha256: str | None = None


@dataclass(frozen=True)
class Run:
    """The folder of one training run."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.folder / CHECKPOINTS

    @property
    def model(self) -> Path:
        """Where sfumato 0.1 wrote the best weights with all that was measured about them."""
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
        return parse_recipe(read_recipe(self.recipe_file), origin=str(self.recipe_file))

    def control(self, name: ControlName) -> "Run":
        """A control of it, which may not exist."""
        return Run(self.folder / name)

    @property
    def controls(self) -> "dict[ControlName, Run]":
        """The controls that it has, by name."""
        return {name: self.control(name) for name in CONTROLS if self.control(name).exists()}

    @property
    def record(self) -> dict[str, Any]:
        """`run.json`: the dataset, relative to the run or absolute, and what it was like."""

        def fault(finding: str) -> UsageError:
            return UsageError(
                f"{self.folder} is not a run folder: run.json {finding}",
                expected="a run.json that names its dataset",
            )

        record = shaped(_Record.model_validate, read_object(self.folder / "run.json", fault), fault)
        return record.model_dump(exclude_unset=True)

    @property
    def dataset(self) -> Path:
        """The prepared dataset that the run trains on; a path that leads nowhere where nobody knows it here."""
        name = str(self.record["dataset"])
        return (found(name, self.folder) or self.folder / name).resolve()

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
        return read_model_header(metadata, source=self.model).of == digest(weights)
