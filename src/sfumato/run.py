"""A run folder, and the model that it or a single file holds.

One file describes itself: the header of a `model.safetensors` carries the recipe and what the model must know about
its data, so `sfumato segment model.safetensors image.png` needs nothing else.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from sfumato.build import build_network, build_process, build_sampler, critical_log_snr
from sfumato.data.spec import Spec
from sfumato.diffusion.process import Process
from sfumato.errors import ModelError, UsageError
from sfumato.provenance import digest
from sfumato.recipe import Recipe, Sample, parse_recipe
from sfumato.tasks.task import Sampler
from sfumato.training.checkpoint import load, marked, newest
from sfumato.training.weights import fill, load_weights

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
        sha256: of the weights file.
    """

    name: str
    recipe: Recipe
    spec: Spec
    process: Process
    network: nn.Module
    step: int
    sha256: str

    def sampler(self, **changes: Any) -> Sampler:
        """The recipe's sampler with some of its words changed; None changes nothing."""
        given = {key: value for key, value in changes.items() if value is not None}
        sample = Sample.model_validate({**self.recipe.sample.model_dump(), **given})
        return build_sampler(sample, self.process, critical=critical_log_snr(self.recipe))


def header(recipe: Recipe, spec: Spec, *, step: int) -> dict[str, str]:
    """Safetensors metadata by which a model describes itself."""
    about = {"recipe": recipe.model_dump(mode="json", by_alias=True), "spec": spec.to_dict(), "step": step}
    return {HEADER_KEY: json.dumps(about)}


def load_model(path: Path | str, *, device: str = "cpu") -> Model:
    """The model in a run folder (its best checkpoint, else the last) or in a safetensors file.

    Raises:
        ModelError: there is none, it is damaged, or it was not written by sfumato.
    """
    path = Path(path)
    file = Run(path).weights() if path.is_dir() else path
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
    return Model(str(path), recipe, spec, build_process(recipe), network, about["step"], digest(file) or "")


@dataclass(frozen=True)
class Run:
    """The folder of one training run."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.folder / "checkpoints"

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.yaml"

    @property
    def record(self) -> dict[str, str]:
        """`run.json`: the dataset, relative to the run or absolute, and the sha256 of its description."""
        file = self.folder / "run.json"
        try:
            record: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            raise UsageError(f"{self.folder} is not a run folder", expected=f"{file} naming its dataset") from None
        return record

    @property
    def dataset(self) -> Path:
        """The prepared dataset that the run trains on."""
        return (self.folder / self.record["dataset"]).resolve()

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
        return checkpoint.path / "ema.safetensors"
