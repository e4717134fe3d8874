"""`sfumato info`: what a run, model or dataset is, and what an image says about where it comes from."""

import json
from pathlib import Path
from typing import Any

from sfumato.builder.held import shapes_held
from sfumato.builder.network import build_call
from sfumato.commands.output.console import console, say
from sfumato.commands.prepare import describe
from sfumato.data.formats.told import read_origin
from sfumato.data.manifest import is_prepared
from sfumato.data.pack import Pack
from sfumato.errors import UsageError
from sfumato.networks.measure import count_flops
from sfumato.recipe import OwnNetwork
from sfumato.run import ModelFile, Run, read_model
from sfumato.training.checkpoint import named
from sfumato.training.log import read_log


def info(path: Path, /) -> dict[str, Any]:
    """Tell what a folder or file is.

    Args:
        path: A run, a checkpoint of one, a model.safetensors, a prepared dataset, or an image (PNG, NIfTI, DICOM).
    """
    if is_prepared(path):
        result = describe(path, Pack.open(path))
    elif Run(path).exists():
        result = _about_run(path)
    elif named(path) is None and path.is_file() and path.suffix.lower() != ".safetensors":
        result = _about_image(path)
    elif path.is_file() or named(path) is not None:  # a model, or a checkpoint of a run
        result = _about_model(read_model(path), name=str(path))
    else:
        raise UsageError(f"{path} is nothing that sfumato wrote", expected="a run, a model, a dataset or an image")
    console.print_json(json.dumps(result, default=str))
    return result


def _about_image(path: Path) -> dict[str, Any]:
    said = read_origin(path)
    if not said:
        say(f"nothing in {path.name} says that it is synthetic; that does not mean that it is not")
    return {"image": str(path), "says": said}


def _about_run(path: Path) -> dict[str, Any]:
    records = read_log(path / "log.jsonl")
    validations = [record for record in records if record.get("kind") == "validate"]
    return {
        "run": str(path),
        "steps": max((record["step"] for record in records), default=0),
        "minutes": round(max((record.get("seconds", 0.0) for record in records), default=0.0) / 60, 2),
        "last_validation": validations[-1] if validations else None,
        "model": _about_model(read_model(path), name=str(path)) if Run(path).checkpoints.is_dir() else None,
    }


def _about_model(model: ModelFile, *, name: str) -> dict[str, Any]:
    """What a model is, from its header and the shapes of its network: no code that it names is imported."""
    recipe, spec, header = model.about
    return {
        "model": name,
        "task": recipe.task,
        "step": header.step,
        **({"weights": model.weights} if model.weights else {}),
        "sha256": model.sha256,
        **({} if header.average is None else {"average": header.average.model_dump(mode="json")}),
        **_size(model),
        "data": spec.to_dict(),
        "recipe": recipe.model_dump(mode="json", by_alias=True),
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
