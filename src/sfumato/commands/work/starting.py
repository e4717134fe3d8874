"""`--init`: what a training starts from, read once, and what of it the recipe takes over.

A run that starts from a model keeps `init.json`: where the model is and its hash, the words of the recipe that came
with it, and what became of every tensor. The same command again takes the words from there, and reads the model again
only while the run has no checkpoint of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from sfumato.atomic import write_atomic
from sfumato.builder.network import build_signature
from sfumato.commands.output.console import say
from sfumato.data.spec import Spec
from sfumato.errors import ModelError, UsageError
from sfumato.files import read_text
from sfumato.networks.foreign import folder as foreign
from sfumato.networks.foreign.diffusers_unet import described
from sfumato.networks.surgery import PLACES, Report, Signature, transplant, unnamed
from sfumato.networks.uncertainty import Weighted
from sfumato.plan import Choice
from sfumato.provenance import digest
from sfumato.recipe import Recipe, TaskKind, load_recipe
from sfumato.recipe.scheduler import process_words
from sfumato.run import HEADER_KEY, Model, Run, load_model
from sfumato.training.checkpoint import named
from sfumato.training.parts import Parts
from sfumato.training.processes import rank
from sfumato.training.weights import check_weights, load_bin, load_weights
from sfumato.wording import counted

RECORD = "init.json"
GENTLER = 10
"""Fine-tuning takes the usual learning rate divided by this: weights that know something are only adjusted."""

FIRST = 8
"""Names of tensors that a report lists of each kind; `init.json` holds as many and their number."""


class Donor(NamedTuple):
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


@dataclass(frozen=True)
class Start:
    """How a run starts from a model: what `init.json` holds before training.

    Attributes:
        model: the model, as `read_donor` takes it.
        sha256: of its weights.
        words: what the recipe takes over, beneath the person's own words.
    """

    model: str
    sha256: str
    words: Mapping[str, Any]

    def choices(self, recipe: Recipe) -> list[Choice]:
        """What was taken over, for the plan; what the person's words replaced is left out."""
        used, choices = recipe.model_dump(mode="json", by_alias=True), []
        for section in ("network", "process"):
            words = self.words.get(section)
            if words is not None and used[section]["kind"] == words["kind"]:
                choices.append(Choice(f"{section}.kind", words["kind"], f"with its settings, as in {self.model}"))
        gentle = self.words["train"]["learning_rate"]
        if recipe.train.learning_rate == gentle:
            reason = f"1/{GENTLER} of the usual: what {self.model} has learned is adjusted, not learned again"
            choices.append(Choice("train.learning_rate", gentle, reason))
        return choices

    def write(self, run: Run) -> None:
        """Into `init.json` of the run, beside what it says already: the model may lie in another place now."""
        file = run.folder / RECORD
        known = json.loads(read_text(file)) if file.is_file() else {}
        write_atomic(file, json.dumps({**known, **asdict(self)}, indent=2) + "\n")


def begin(
    init: str | None, task: TaskKind, run: Run, *, file: Path | None, settings: Sequence[str]
) -> tuple[Recipe, Start | None]:
    """The recipe of a run, and what it starts from; of a run that exists what its `init.json` says, nothing is read.

    Raises:
        UsageError: the run was started from something else; see also `load_recipe`.
        ModelError: see `read_donor`; or nobody says how a network was trained.
    """
    start = _begun(init, task, run)
    recipe = load_recipe(task, file, settings=settings, beneath=start.words if start else None)
    told = any(setting.startswith("process") for setting in settings) or recipe.process != load_recipe(task).process
    if start and start.words.get("network", {}).get("kind") == "pretrained" and not told:
        raise ModelError(
            f"{start.model} has no {foreign.SCHEDULER}: nobody says how its network was trained",
            expected="the table of betas and what is predicted",
            remedy="--set process.kind=gaussian --set process.schedule=linear --set process.prediction=eps, if it was",
        )
    return recipe, start


def _begun(init: str | None, task: TaskKind, run: Run) -> Start | None:
    if run.exists():
        start = _recorded(run)
        if (init and _absolute(init)) == (start and start.model):
            return start
        if start is None or init is None or not _holds(init, start.sha256):
            raise UsageError(
                f"{run.folder} was started {f'from {start.model}' if start else 'without --init'}",
                remedy="give the same --init to resume it, or another --out for a new run",
            )
        return replace(start, model=_absolute(init))
    if init is None:
        return None
    donor = read_donor(init)
    for note in donor.notes:
        say(f"note: {init}: {note}")
    words = _words(donor, task)
    usual = load_recipe(task, beneath={"network": words["network"]} if "network" in words else None).train.learning_rate
    rate = float(f"{usual / GENTLER:.6g}")
    return Start(donor.name, donor.sha256, {**words, "train": {"learning_rate": rate}})


def start_from(run: Run, parts: Parts, recipe: Recipe, spec: Spec) -> None:
    """Give fresh parts, averages too, the weights that their run starts from; a run without `init.json` keeps its own.

    Raises:
        ModelError: the model has changed since the run was started, or nothing of it fits.
    """
    start = _recorded(run)
    if start is None:
        return
    if Path(start.model).is_absolute() and not Path(start.model).exists():
        raise ModelError(
            f"{start.model}, from which {run.folder} starts, is no longer there",
            expected=f"a model with the sha256 {start.sha256}",
            remedy="the command that started the run again, with --init and where the model is now",
        )
    donor = read_donor(start.model)
    if donor.sha256 != start.sha256:
        raise ModelError(
            f"{start.model} has changed since {run.folder} was started from it",
            expected=f"weights with the sha256 {start.sha256}", remedy="start a new run with another --out",
        )  # fmt: skip
    report = implant(donor, parts.network, recipe, spec)
    for average in (parts.ema, *parts.further):
        average.load_state_dict(parts.network.state_dict())
    if rank() == 0:
        record = {**asdict(start), **{name: _counted(names) for name, names in asdict(report).items()}}
        write_atomic(run.folder / RECORD, json.dumps(record, indent=2) + "\n")
        for line in told(report, donor.name):
            say(line)


def implant(donor: Donor, network: nn.Module, recipe: Recipe, spec: Spec) -> Report:
    """Give a network the weights of a donor; see `networks.surgery`."""
    own, tensors = build_signature(recipe, spec), dict(donor.tensors)
    places = PLACES.get(recipe.network.kind)
    signature = donor.signature or _guessed(tensors, own, recipe.network.kind, donor.name)
    table = f"{places.label}.weight" if places is not None else ""
    nameless = donor.config is not None or donor.signature is None
    if nameless and table in tensors:
        tensors[table], names = unnamed(tensors[table], own.classes)
        signature = signature._replace(classes=names)
    core = network.network if isinstance(network, Weighted) else network
    return transplant(core, tensors, places=places, donor=signature, own=own, source=donor.name)


def told(report: Report, name: str) -> list[str]:
    """A report in lines for the person."""
    lines = []
    for what, names in asdict(report).items():
        first = f": {', '.join(names[:FIRST])}{', ...' * (len(names) > FIRST)}" if names and what != "matched" else ""
        lines.append(f"init: {counted(len(names), 'tensor')} {what}{first}")
    return [f"init: weights of {name}", *lines]


def read_donor(model: str) -> Donor:
    """A model to start from: a run, a checkpoint, a safetensors file, or a diffusers network in a folder or on the hub.

    Raises:
        ModelError: there is none, it is damaged, it is a pickle of more than tensors, or it cannot be represented.
    """
    path = Path(model)
    beside = path.is_file() and path.name in foreign.WEIGHTS and foreign.is_folder(path.parent)
    if foreign.is_folder(path) or beside:
        return _diffusers(path.parent if beside else path, name=_absolute(model))
    if named(path) is not None:
        return _own(load_model(path), name=_absolute(model))
    if path.is_file() and HEADER_KEY not in (bare := load_weights(path))[1]:
        return Donor(_absolute(model), digest(path) or "", None, bare[0], None, {})
    if path.is_file() or Run(path).exists():
        return _own(load_model(path), name=_absolute(model))
    if path.exists() or not foreign.is_hub_name(model):
        raise ModelError(
            f"{model} is no model",
            expected="a run, a checkpoint, a model.safetensors, a diffusers folder, or OWNER/NAME on the hub",
        )
    fetched = foreign.fetch(model)
    if not foreign.is_folder(fetched):
        raise ModelError(f"{model} on the hub holds no network of diffusers", expected=foreign.ARCHITECTURE)
    return _diffusers(fetched, name=model)


def _diffusers(path: Path, *, name: str) -> Donor:
    """A network in a folder of diffusers; its weights are exactly those that its configuration describes."""
    found = foreign.open_folder(path)
    config, wanted, unknown = described(found.config)
    safe = found.weights.suffix.lower() == ".safetensors"
    tensors = foreign.modern(load_weights(found.weights)[0] if safe else load_bin(found.weights))
    check_weights(tensors, wanted, source=str(found.weights))
    notes = [f"the setting {setting} is unknown to the installed diffusers and is left out" for setting in unknown]
    words: dict[str, Any] = {"network": {"kind": "pretrained", "config": config}}
    if found.scheduler is not None:
        words["process"], more = process_words(found.scheduler, source=name)
        notes += more
    ours = {f"network.{key}": tensor for key, tensor in tensors.items()}
    signature = _signature(config, learned=words.get("process", {}).get("variance") == "learned", source=name)
    sha256 = digest(found.weights) or ""
    return Donor(name, sha256, "pretrained", ours, signature, words, {**found.config, **config}, tuple(notes))


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


def _own(model: Model, *, name: str) -> Donor:
    """One of our models: its averaged weights."""
    words = model.recipe.model_dump(mode="json", by_alias=True, include={"network", "process"})
    if words["process"]["kind"] == "sdd":
        words["process"] |= {"classes": "auto", "intensities": "auto"}
    tensors = model.network.state_dict()
    if isinstance(model.network, Weighted):
        tensors = {key.removeprefix("network."): tensor for key, tensor in tensors.items()}
    signature = build_signature(model.recipe, model.spec)
    return Donor(name, model.sha256, model.recipe.network.kind, tensors, signature, words)


def _words(donor: Donor, task: TaskKind) -> dict[str, Any]:
    """What a recipe takes over: the network, and the process as far as it means the same for the task.

    A network of masks that starts from one of images predicts other things. It keeps the table of betas only where its
    noise levels are steps of that table.
    """
    words = dict(donor.words)
    if donor.signature is not None and donor.signature.task != task:
        process = words.pop("process", {})
        kept = ("kind", "schedule", "timesteps", "betas")
        if donor.config is not None or donor.kind in ("diffusers", "monai"):
            words["process"] = {name: process[name] for name in kept if name in process}
    return words


def _guessed(tensors: Mapping[str, Tensor], own: Signature, kind: str, source: str) -> Signature:
    """What goes into a network of which only the tensors are known: a model of the same task, by its shapes."""
    places = PLACES.get(kind)
    if places is None or not {f"{places.stem}.weight", f"{places.head}.weight"} <= tensors.keys():
        return own
    inputs, outputs = tensors[f"{places.stem}.weight"].shape[1], len(tensors[f"{places.head}.weight"])
    state = outputs // own.answers
    if inputs < state + own.estimate or (inputs > state) != (own.image + own.estimate > 0):
        raise ModelError(
            f"{source}: {inputs} channels in and {outputs} out, which is no network for task {own.task}",
            expected="a file that describes itself, such as sfumato writes",
        )
    return Signature(own.task, state, inputs - state - own.estimate, own.estimate, own.answers)


def _recorded(run: Run) -> Start | None:
    file = run.folder / RECORD
    if not file.is_file():
        return None
    record = json.loads(read_text(file))
    return Start(record["model"], record["sha256"], record["words"])


def _holds(init: str, sha256: str) -> bool:
    """Whether the weights of a run lie there now."""
    return Path(init).exists() and read_donor(init).sha256 == sha256


def _absolute(model: str) -> str:
    """A path from anywhere; the name of a model on the hub as it is."""
    return str(Path(model).resolve()) if Path(model).exists() or not foreign.is_hub_name(model) else model


def _counted(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "first": list(names[:FIRST])}
