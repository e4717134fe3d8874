"""`--init`: what a training starts from, read once, and what of it the recipe takes over.

A run that starts from a model keeps `init.json`: where the model is and its hash, the words of the recipe that came
with it, and what became of every tensor. The same command again takes the words from there, and reads the model again
only while the run has no checkpoint of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field
from torch import Tensor, nn

from sfumato.atomic import write_atomic
from sfumato.builder.network import build_signature
from sfumato.data.spec import Spec
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.data_plan import Choice
from sfumato.experiment.pretrained_models import PretrainedModel, absolute, read_donor
from sfumato.experiment.run import Run
from sfumato.local import MARK, Names, recalled, without_paths
from sfumato.memory import out_of_memory
from sfumato.networks.foreign import folder as foreign
from sfumato.networks.surgery import TENSOR_PLACES, Report, Signature, transplant, unnamed
from sfumato.networks.uncertainty import Weighted
from sfumato.plain import ours, read_object, shaped
from sfumato.progress import say
from sfumato.recipe import LEARNING_RATES, Recipe, TaskKind, load_recipe
from sfumato.training.parts import TrainingState
from sfumato.training.processes import rank
from sfumato.training.weights import check_weight_numbers
from sfumato.wording import counted

RECORD = "init.json"
FINE_TUNE_LR_DIVISOR = 10
"""Fine-tuning takes the usual learning rate divided by this: weights that know something are only adjusted."""

_FIRST = 8
"""Names of tensors that a report lists of each kind; `init.json` holds as many and their number."""


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

    @property
    def name(self) -> str:
        """What the model is called, without where it lies."""
        return Path(self.model).name if Path(self.model).is_absolute() else self.model

    def choices(self, recipe: Recipe) -> list[Choice]:
        """What was taken over, for the plan; what the person's words replaced is left out."""
        used, choices = recipe.model_dump(mode="json", by_alias=True), []
        for section in ("network", "process"):
            words = self.words.get(section)
            if words is not None and used[section]["kind"] == words["kind"]:
                choices.append(Choice(f"{section}.kind", words["kind"], f"with its settings, as in {self.name}"))
        gentle = self.words["train"]["learning_rate"]
        if recipe.train.learning_rate == gentle:
            reason = (
                f"1/{FINE_TUNE_LR_DIVISOR} of the usual: what {self.name} has learned is adjusted, not learned again"
            )
            choices.append(Choice("train.learning_rate", gentle, reason))
        return choices

    def write(self, run: Run) -> None:
        """Into `init.json` of the run, beside what it says already: the model may lie in another place now."""
        file = run.folder / RECORD
        known = read_object(file, ours(file)) if file.is_file() else {}
        _write(run, {**known, **asdict(self)})


def resolve_init(
    init: str | None,
    task: TaskKind,
    run: Run,
    *,
    file: Path | None,
    settings: Sequence[str],
    changes: Mapping[str, Any] | None = None,
) -> tuple[Recipe, Start | None]:
    """The recipe of a run, and what it starts from; of a run that exists what its `init.json` says, nothing is read.

    Raises:
        UsageError: the run was started from something else; see also `load_recipe`.
        ModelError: see `read_donor`; or nobody says how a network was trained.
    """
    start = _begun(init, task, run)
    recipe = load_recipe(task, file, settings=settings, changes=changes, beneath=start.words if start else None)
    told = (
        any(name.startswith("process") for name in (*settings, *(changes or ())))
        or recipe.process != load_recipe(task).process
    )
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
        if (init and absolute(init)) == (start and start.model):
            return start
        if start is None or init is None or not _holds(init, start.sha256):
            raise UsageError(
                f"{run.folder} was started {f'from {start.model}' if start else 'without --init'}",
                remedy="give the same --init to resume it, or another --out for a new run",
            )
        return replace(start, model=absolute(init))
    if init is None:
        return None
    donor = read_donor(init)
    for note in donor.notes:
        say(f"note: {init}: {note}")
    words = _words(donor, task)
    told = load_recipe(task, beneath={"network": words["network"]} if "network" in words else None).train.learning_rate
    usual = LEARNING_RATES["unet"] if told == "auto" else told
    rate = float(f"{usual / FINE_TUNE_LR_DIVISOR:.6g}")
    train = {"learning_rate": rate}
    if words.get("process", {}).get("kind") == "flow":
        train["few_calls_after"] = 0.0  # the plain velocity is learnt already
    return Start(donor.name, donor.sha256, {**words, "train": train})


def start_from(run: Run, parts: TrainingState, recipe: Recipe, spec: Spec) -> None:
    """Give fresh parts, averages too, the weights that their run starts from; a run without `init.json` keeps its own.

    Raises:
        ModelError: the model has changed since the run was started, or nothing of it fits.
    """
    start = _recorded(run)
    if start is None:
        return
    gone = Path(start.model).is_absolute() and not Path(start.model).exists()
    if gone or start.model.startswith(MARK):
        raise ModelError(
            f"{start.model}, from which {run.folder} starts, is no longer there",
            expected=f"a model with the sha256 {start.sha256}",
            remedy="the command that started the run again, with --init and where the model is now",
        )
    donor = read_donor(start.model, online=False)  # only what the person names is fetched: a folder may be anyone's
    if donor.sha256 != start.sha256:
        raise ModelError(
            f"{start.model} has changed since {run.folder} was started from it",
            expected=f"weights with the sha256 {start.sha256}",
            remedy="start a new run with another --out",
        )
    report = transfer_weights(donor, parts.network, recipe, spec)
    for average in (parts.ema, *parts.further):
        average.load_state_dict(parts.network.state_dict())
    if rank() == 0:
        record = {**asdict(start), **{name: _counted(names) for name, names in asdict(report).items()}}
        _write(run, record)
        for line in report_lines(report, donor.name):
            say(line)


def _implant(donor: PretrainedModel, network: nn.Module, recipe: Recipe, spec: Spec) -> Report:
    own, tensors = build_signature(recipe, spec), dict(donor.tensors)
    places = TENSOR_PLACES.get(recipe.network.kind)
    signature = donor.signature or _guessed(tensors, own, recipe.network.kind, donor.name)
    table = f"{places.label}.weight" if places is not None else ""
    nameless = donor.config is not None or donor.signature is None
    if nameless and table in tensors:
        tensors[table], names = unnamed(tensors[table], own.classes)
        signature = signature._replace(classes=names)
    core = network.network if isinstance(network, Weighted) else network
    return transplant(core, tensors, places=places, donor=signature, own=own, source=donor.name)


def transfer_weights(donor: PretrainedModel, network: nn.Module, recipe: Recipe, spec: Spec) -> Report:
    """Give a network the weights of a donor; see `networks.surgery`.

    Raises:
        ModelError: nothing of it fits, its tensors are of no network, or its numbers are no weights.
    """
    check_weight_numbers(donor.tensors, network.state_dict(), source=donor.name)
    try:
        return _implant(donor, network, recipe, spec)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise ModelError(
            f"{donor.name}: its tensors cannot be taken over ({str(error)[:200]})",
            expected="the weights of a network for images",
        ) from error


def report_lines(report: Report, name: str) -> list[str]:
    """A report in lines for the person."""
    lines = []
    for what, names in asdict(report).items():
        first = f": {', '.join(names[:_FIRST])}{', ...' * (len(names) > _FIRST)}" if names and what != "matched" else ""
        lines.append(f"init: {counted(len(names), 'tensor')} {what}{first}")
    return [f"init: weights of {name}", *lines]


def _words(donor: PretrainedModel, task: TaskKind) -> dict[str, Any]:
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
    places = TENSOR_PLACES.get(kind)
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

    def fault(finding: str) -> ModelError:
        return ModelError(f"{file} {finding}", expected="what sfumato train --init wrote")

    record = shaped(_Record.model_validate, read_object(file, fault), fault)
    words = record.words.model_dump(exclude_unset=True)
    model = recalled(record.model, run.folder) or record.model
    return Start(str(model), record.sha256, words)


def _write(run: Run, record: Mapping[str, Any]) -> None:
    """Into `init.json`, the model by a name that tells no path."""
    names = Names(run.folder)
    told = without_paths(record, names)
    names.keep()
    write_atomic(run.folder / RECORD, json.dumps(told, indent=2) + "\n")


def _holds(init: str, sha256: str) -> bool:
    """Whether the weights of a run lie there now."""
    return Path(init).exists() and read_donor(init).sha256 == sha256


class _Rate(BaseModel):
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Words(BaseModel):
    """Sections of a recipe that were taken over; the recipe itself checks what stands in them."""

    network: dict[str, Any] = {}
    process: dict[str, Any] = {}
    train: _Rate


class _Record(BaseModel):
    """What `init.json` holds, besides what became of each tensor."""

    model: Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
    sha256: str
    words: _Words


def _counted(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "first": list(names[:_FIRST])}
