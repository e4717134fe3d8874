"""`sfumato info`: what a run, model, dataset or any other folder is, and what an image says about where it comes from.

What matters is printed, on less than a screen; everything that is known is the result (`--json`).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sfumato.builder.held import shapes_held
from sfumato.builder.network import build_call
from sfumato.commands.output.layout import show_facts
from sfumato.data.dataset import Dataset
from sfumato.data.formats.provenance import read_origin
from sfumato.data.manifest import SPLITS, is_prepared
from sfumato.data.placement import spacing_words
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.images.statistics import read_reference
from sfumato.experiment.run import ModelFile, Run, read_model
from sfumato.experiment.sampling import ONE_CALL
from sfumato.networks.measure import count_flops
from sfumato.progress import say
from sfumato.recipe import OwnNetwork
from sfumato.reporting.figures import NOT_A_METRIC
from sfumato.reporting.meaning import heading
from sfumato.reporting.page import CHECKED, section_of
from sfumato.reporting.reading import read_optional_json, shown_cell
from sfumato.training.checkpoint import named_checkpoint
from sfumato.training.log import read_log
from sfumato.verbs.prepare import Prepared
from sfumato.wording import counted

JOBS = {
    "segment": "segments images",
    "none": "makes images",
    "joint": "makes images with masks",
    "mask": "makes masks",
    "image_from_mask": "makes images from masks",
}
"""What a model does, by its task, or by what it makes of images and masks."""

_NAMES = 8
"""Classes that are named."""

SOURCES = (".zip", ".npy", ".csv", ".tsv", ".txt", ".json")
"""Endings of files that are images or about images, and of which sfumato writes none that says what it is."""

STATISTICS = ("what", "images", "space", "weights", "preprocessing")
"""What is told of a file with statistics of real images."""

FINGERPRINT = "fingerprint.json"
"""What `check` writes beside its page."""

_Told = Mapping[str, Any]
_Facts = Iterator[tuple[str, str]]
"""Names with what is known of each."""


def info(path: Path, /) -> dict[str, Any]:
    """Tell what a folder or file is.

    Args:
        path: What sfumato wrote: a run, a checkpoint or model.safetensors, a dataset, predictions, samples, scores and
            the like, statistics (.npz); or an image (PNG, TIFF, NIfTI, DICOM).
    """
    if is_prepared(path):
        return _show_dataset(Prepared(path, Dataset.open(path)).summary)
    if Run(path).exists():
        return _show_run(_about_run(path))
    if not path.exists():
        raise UsageError(f"{path} does not exist", expected="a folder or file")
    if path.suffix.lower() == ".npz":
        return _show_statistics(path)
    if path.suffix.lower() in SOURCES:
        raise _source(path)
    if named_checkpoint(path) is None and path.is_file() and path.suffix.lower() != ".safetensors":
        return _show_image(path)
    if path.is_file() or named_checkpoint(path) is not None:  # a model, or a checkpoint of a run
        return _show_model(_about_model(read_model(path), name=str(path)))
    return _show_folder(path)


def _show_dataset(told: dict[str, Any]) -> dict[str, Any]:
    cases = told["cases"]
    parts = ", ".join(f"{cases[name]} {name}" for name in SPLITS if cases.get(name))
    say(f"{told['dataset']}: a dataset of {counted(sum(cases.values()), 'case')} ({parts})")
    show_facts(list(_dataset(told)), indent=2)
    for note in told["notes"]:
        if note not in (told["intensity"], told["mask_rule"]):
            say(f"note: {note}")
    return told


def _pixels(size: Sequence[int] | str | None) -> str:
    """The size of images: of all of them, or that each has its own."""
    if size is None or isinstance(size, str):
        return "each in its own size"
    if len(size) == 3:
        return f"{' x '.join(map(str, size))} voxels"
    return f"{size[1]} x {size[0]} pixels"


def _dataset(told: _Told) -> _Facts:
    kind = "volumes" if told["dimensions"] == 3 else "images"
    spacing = f" at {spacing_words(told['spacing'])} per voxel" if told["spacing"] and kind == "volumes" else ""
    yield kind, f"{_pixels(told['size'])}{spacing}, {counted(told['channels'], 'channel')}; {told['intensity']}"
    if told["classes"]:
        yield "classes", _listed([f"{name} ({number})" for name, number in told["classes"].items()])
    if told["has_masks"]:
        yield "masks", f"{_listed(told['mask_classes'])}; {counted(told['readers'], 'reader')}; {told['mask_rule']}"


def _show_image(path: Path) -> dict[str, Any]:
    said = read_origin(path)
    if said:
        say(f"{path.name} says of itself:")
        show_facts(list(said.items()), indent=2)
    else:
        say(f"nothing in {path.name} says that it is synthetic; that does not mean that it is not")
    return {"image": str(path), "says": said}


def _show_statistics(path: Path) -> dict[str, Any]:
    try:
        found = read_reference(path)
    except DataError as error:
        raise _source(path) from error
    about = {name: found.about[name] for name in found.about if name != "classes"}
    say(f"{path}: statistics of real images, {counted(len(found.moments.mean), 'feature')}")
    told = {"statistics": str(path), "features": len(found.moments.mean), "classes": list(found.classes), **about}
    facts = [("of" if name == "what" else name, str(about[name])) for name in STATISTICS if about.get(name)]
    show_facts(facts + ([("classes", _listed(list(found.classes)))] if found.classes else []), indent=2)
    return told


def _about_run(path: Path) -> dict[str, Any]:
    run, records = Run(path), read_log(path / "log.jsonl")
    validations = [record for record in records if record.get("kind") == "validate"]
    return {
        "run": str(path),
        "steps": max((record["step"] for record in records), default=0),
        "minutes": round(max((record.get("seconds", 0.0) for record in records), default=0.0) / 60, 2),
        "last_validation": validations[-1] if validations else None,
        "controls": list(run.controls),
        "model": _about_model(read_model(path), name=str(path)) if run.checkpoints.is_dir() else None,
    }


def _show_run(told: dict[str, Any]) -> dict[str, Any]:
    model = told["model"]
    length = f"{counted(told['steps'], 'step')} in {told['minutes']:.1f} minutes"
    say(f"{told['run']}: a run, {length}" + ("" if model else "; no checkpoint yet"))
    facts = list(_model(model)) if model else []
    if last := told["last_validation"]:
        numbers = (f"{heading(name)} {shown_cell(last[name])}" for name in last if name not in NOT_A_METRIC)
        facts.append(("validation", f"{', '.join(numbers)} at step {last['step']}, the last one"))
    words = {"twin": "its deterministic twin is in twin/", "ssn": "logits that are drawn, for as many steps, in ssn/"}
    facts += [(name, words[name]) for name in told["controls"]]
    show_facts(facts, indent=2)
    return _more(told)


def _about_model(model: ModelFile, *, name: str) -> dict[str, Any]:
    """What a model is, from its header and the shapes of its network: no code that it names is imported."""
    recipe, spec, header = model.about
    return {
        "model": name,
        "task": recipe.task,
        "step": header.step,
        **({"weights": model.weights} if model.weights else {}),
        "sha256": model.sha256,
        **_size(model),
        "data": spec.to_dict(),
        "recipe": recipe.model_dump(mode="json", by_alias=True),
        **({} if header.average is None else {"average": header.average.model_dump(mode="json")}),
    }


def _size(model: ModelFile) -> dict[str, int | None]:
    """Parameters, and operations of a call; the latter are not known of a network of the user's own."""
    recipe, spec, _ = model.about
    if isinstance(recipe.network, OwnNetwork):
        return {"parameters": sum(tensor.numel() for tensor in model.tensors.values()), "flops_per_call": None}
    network = shapes_held(recipe, spec, model.tensors, source=str(model.file))
    assert network is not None, "only a network of the user's own may be impossible without numbers"
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "flops_per_call": count_flops(network, build_call(recipe, spec)),
    }


def _show_model(told: dict[str, Any]) -> dict[str, Any]:
    say(f"{told['model']}: a model")
    show_facts(list(_model(told)), indent=2)
    return _more(told)


def _model(told: _Told) -> _Facts:
    recipe, data = told["recipe"], told["data"]
    job = JOBS["segment" if told["task"] == "segment" else recipe["data"]["pairs"]]
    yield "job", f"{job}; weights after {counted(told['step'], 'step')}"
    if average := told.get("average"):
        made_of = counted(len(average["made_of"]), "kept average")
        yield "average", f"of width {average['width']:g} from {made_of}, within {average['error']:.2%} of its profile"
    patch = recipe["data"].get("patch")
    windows = f" in windows of {_pixels(patch)}" if isinstance(patch, list) else ""
    channels = counted(data["channels"], "channel")
    yield "images", f"{_pixels(data['size'])}{windows}, {channels}; {data['intensity']['text']}"
    if data["classes"]:
        yield "classes", _listed(data["classes"])
    if data["mask_classes"] and (told["task"] == "segment" or recipe["data"]["pairs"] != "none"):
        yield "masks", _listed(data["mask_classes"])
    yield "process", recipe["process"]["kind"]
    network = f"{recipe['network']['kind']}, {counted(told['parameters'], 'parameter')}"
    operations = told["flops_per_call"]
    yield "network", network if operations is None else f"{network}, {operations / 1e6:.4g} MFLOP a call"
    sample, at_once = recipe["sample"], recipe["process"]["kind"] in ONE_CALL
    yield "samples by", "one call" if at_once else f"{sample['sampler']}, {counted(sample['steps'], 'step')}"
    yield "sha256", told["sha256"]


def _show_folder(path: Path) -> dict[str, Any]:
    """Any other folder, in the words of its section on the page."""
    if (path / CHECKED).is_file():
        return _show_check(path)
    try:
        section = section_of(path)
    except UsageError as error:
        raise _source(path) from error
    title = section.title if section.title.endswith("?") else f"{section.title}."
    say(f"{path}: {title} {section.summary[:1].upper()}{section.summary[1:]}.")
    for sentence in (section.asked, *section.reading):
        if sentence:
            say(sentence)
    for limit in section.limits:
        say(f"limit: {limit}")
    say(f"a page about it: sfumato report {path}")
    return {
        "folder": str(path),
        "is": section.title,
        "told": section.summary,
        "asked": section.asked,
        "reading": list(section.reading),
        "limits": list(section.limits),
        "summary": read_optional_json(path / "summary.json"),
    }


def _show_check(path: Path) -> dict[str, Any]:
    """What `check --out` wrote."""
    numbers = read_optional_json(path / FINGERPRINT) or {}
    say(f"{path}: what check found in a source of {counted(numbers.get('cases', 0), 'case')}")
    for sentence in numbers.get("recommendations", ()):
        say(sentence)
    say(f"the page about it: {path / CHECKED}")
    return {"folder": str(path), "is": "Check", "page": str(path / CHECKED), "fingerprint": numbers}


def _source(path: Path) -> UsageError:
    return UsageError(
        f"{path} is nothing that sfumato wrote",
        expected="a run, a model, a dataset, other results, or an image",
        remedy=f"sfumato check {path} says what images or masks are like",
    )


def _more(told: dict[str, Any]) -> dict[str, Any]:
    say("recipe and all that is known of it: --json")
    return told


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more
