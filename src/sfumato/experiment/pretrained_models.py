"""What a training can start from: our models, bare tensors, networks of diffusers; read once, trusted in nothing.

A description is held against the tensors beside it before a network is built, and only what the person names is asked
of the hub.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from sfumato.builder.held import budget_of, within
from sfumato.builder.network import build_signature
from sfumato.errors import ModelError
from sfumato.experiment.run import Model, Run, load_model
from sfumato.header import HEADER_KEY
from sfumato.networks.foreign import folder as foreign
from sfumato.networks.foreign.diffusers_unet import described
from sfumato.networks.surgery import Signature
from sfumato.networks.uncertainty import Weighted
from sfumato.plain import in_form, shaped
from sfumato.provenance import digest
from sfumato.recipe import GaussianProcess
from sfumato.recipe.scheduler import Words, process_words
from sfumato.training.checkpoint import named_checkpoint
from sfumato.training.weights import check_weights, load_bin, load_weights


class PretrainedModel(NamedTuple):
    """A model that others can start from.

    Attributes:
        name: as the person named it; an absolute path where it is one.
        sha256: of its weights.
        kind: of its network, as in the recipe; None for bare tensors.
        tensors: its weights under the names of our networks.
        signature: what goes into its network; None where nobody says.
        words: sections of a recipe that describe it.
        config: what diffusers says about the network, if it is one of diffusers.
        notes: what is not taken over, in sentences.
    """

    name: str
    sha256: str
    kind: str | None
    tensors: Mapping[str, Tensor]
    signature: Signature | None
    words: Mapping[str, Any]
    config: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


def read_donor(model: str, *, online: bool = True) -> PretrainedModel:
    """A model to start from: a run, a checkpoint, a safetensors file, or a diffusers network in a folder or on the hub.

    Args:
        model: its path or name.
        online: whether the hub may be asked for what is not in its local cache.

    Raises:
        ModelError: there is none, it is damaged, it is a pickle of more than tensors, or it cannot be represented.
    """
    path = Path(model)
    beside = path.is_file() and path.name in foreign.WEIGHT_FILES and foreign.is_folder(path.parent)
    if foreign.is_folder(path) or beside:
        return _diffusers(path.parent if beside else path, name=absolute(model))
    if named_checkpoint(path) is not None:
        return _own(load_model(path), name=absolute(model))
    if path.is_file() and HEADER_KEY not in (bare := load_weights(path))[1]:
        return PretrainedModel(absolute(model), digest(path) or "", None, bare[0], None, {})
    if path.is_file() or Run(path).exists():
        return _own(load_model(path), name=absolute(model))
    if path.exists() or not foreign.is_hub_name(model):
        raise ModelError(
            f"{model} is no model",
            expected="a run, a checkpoint, a model.safetensors, a diffusers folder, or OWNER/NAME on the hub",
        )
    fetched = foreign.fetch(model, online=online)
    if not foreign.is_folder(fetched):
        raise ModelError(f"{model} on the hub holds no network of diffusers", expected=foreign.ARCHITECTURE)
    return _diffusers(fetched, name=model)


def _diffusers(path: Path, *, name: str) -> PretrainedModel:
    """A network in a folder of diffusers; its weights are exactly those that its configuration describes."""
    found = foreign.open_folder(path)
    safe = found.weights.suffix.lower() == ".safetensors"
    tensors = foreign.modern(load_weights(found.weights)[0] if safe else load_bin(found.weights))
    with within(budget_of(tensors, source=name)):
        config, wanted, unknown = described(found.config)
    check_weights(tensors, wanted, source=str(found.weights))
    notes = [f"the setting {setting} is unknown to the installed diffusers and is left out" for setting in unknown]
    words: dict[str, Any] = {"network": {"kind": "pretrained", "config": config}}
    if found.scheduler is not None:
        words["process"], more = _process(found.scheduler, name)
        notes += more
    ours = {f"network.{key}": tensor for key, tensor in tensors.items()}
    signature = _signature(config, learned=words.get("process", {}).get("variance") == "learned", source=name)
    sha256 = digest(found.weights) or ""
    return PretrainedModel(name, sha256, "pretrained", ours, signature, words, {**found.config, **config}, tuple(notes))


def _process(scheduler: Mapping[str, Any], name: str) -> Words:
    """The process that a scheduler of diffusers describes, checked."""

    def fault(finding: str) -> ModelError:
        return ModelError(f"{name}: its {foreign.SCHEDULER} {finding}", expected="settings as diffusers writes them")

    with in_form(fault):
        words = process_words(scheduler, source=name)
    shaped(GaussianProcess.model_validate, words.process, fault)
    return words


def _signature(config: Mapping[str, Any], *, learned: bool, source: str) -> Signature:
    """What goes into a network of diffusers; what goes in beside the state is taken to be an image."""
    answers = 2 if learned else 1
    state, rest = divmod(config["out_channels"], answers)
    image = config["in_channels"] - state
    if rest or image < 0:
        raise ModelError(
            f"{source}: {config['in_channels']} channels in and {config['out_channels']} out",
            expected="a network that answers for every channel of its state",
        )
    return Signature("segment" if image else "generate", state, image, answers=answers)


def _own(model: Model, *, name: str) -> PretrainedModel:
    """One of our models: its averaged weights."""
    words = model.recipe.model_dump(mode="json", by_alias=True, include={"network", "process"})
    measured = {"sdd": ("classes", "intensities"), "ssn": ("classes",)}.get(words["process"]["kind"], ())
    words["process"] |= dict.fromkeys(measured, "auto")
    tensors = model.network.state_dict()
    if isinstance(model.network, Weighted):
        tensors = {key.removeprefix("network."): tensor for key, tensor in tensors.items()}
    signature = build_signature(model.recipe, model.spec)
    return PretrainedModel(name, model.sha256, model.recipe.network.kind, tensors, signature, words)


def absolute(model: str) -> str:
    """A path from anywhere; the name of a model on the hub as it is."""
    return str(Path(model).resolve()) if Path(model).exists() or not foreign.is_hub_name(model) else model
