"""A folder of diffusers: where its files are, what they say, and how old names of tensors are read.

There are two layouts: what `save_pretrained` of a pipeline writes, with the folders `unet` and `scheduler`, and one
with all files side by side (the google/ddpm-* models). A part is looked for in the folder of its name, else beside the
rest. Nothing of a folder is run: configurations are JSON, and which file holds the weights is only named here.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from sfumato.errors import ModelError
from sfumato.networks.foreign.package import imported
from sfumato.plain import read_object, shown
from sfumato.shortage import raise_shortage

STEM = "diffusion_pytorch_model"
WEIGHT_FILES = (f"{STEM}.safetensors", f"{STEM}.bin")
"""The first that is there is read."""

MODEL, SCHEDULER, INDEX = "config.json", "scheduler_config.json", "model_index.json"
ARCHITECTURE = "UNet2DModel"
_MAX_BYTES = 2**23
"""Of a file of settings: a table of 100,000 betas fits."""

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_ATTENTION = re.compile(r"(.*attentions\.\d+)\.(\w+)\.(weight|bias)")
_MODERN = {
    **dict.fromkeys(("query", "q"), "to_q"),
    **dict.fromkeys(("key", "k"), "to_k"),
    **dict.fromkeys(("value", "v"), "to_v"),
    **dict.fromkeys(("proj_attn", "proj_out"), "to_out.0"),
    "norm": "group_norm",
}
"""Names of the layers of attention before diffusers 0.15, and what they are called now."""


class _Folder(NamedTuple):
    """What a folder of diffusers says.

    Attributes:
        config: settings of the network, as they stand in the file.
        scheduler: settings of the scheduler; None without one.
        weights: the file with the weights, safetensors or `.bin`.
    """

    config: dict[str, Any]
    scheduler: dict[str, Any] | None
    weights: Path


def is_folder(path: Path) -> bool:
    """Whether a folder holds a network of diffusers, in either layout."""
    return (_part(path, "unet") / MODEL).is_file()


def open_folder(path: Path) -> _Folder:
    """Find the parts of a folder in which `is_folder`.

    Raises:
        ModelError: it holds another architecture, a pipeline that is more than a network, or no readable weights.
    """
    _refuse_larger_pipeline(path)
    unet, scheduler = _part(path, "unet"), _part(path, "scheduler") / SCHEDULER
    config = _json(unet / MODEL)
    if config.get("_class_name", ARCHITECTURE) != ARCHITECTURE:
        raise ModelError(f"{unet / MODEL}: a {shown(config['_class_name'])}", expected=f"a {ARCHITECTURE}")
    found = next((unet / name for name in WEIGHT_FILES if (unet / name).is_file()), None)
    if found is None:
        there = ", ".join(sorted(file.name for file in unet.iterdir()))
        raise ModelError(f"{unet} holds no weights, but {there}", expected=" or ".join(WEIGHT_FILES))
    return _Folder(config, _json(scheduler) if scheduler.is_file() else None, found)


def is_hub_name(words: str) -> bool:
    """Whether words could be OWNER/NAME on the Hugging Face hub."""
    return _HUB_NAME.fullmatch(words) is not None


def fetch(name: str, *, online: bool = True) -> Path:
    """The folder of a model on the Hugging Face hub, from the local cache where it is there.

    The `.bin` is fetched only where there are no safetensors.

    Args:
        name: OWNER/NAME.
        online: whether the hub may be asked; else only the cache.

    Raises:
        ModelError: the hub cannot be reached and the cache has nothing, or there is no such model.
    """
    hub = imported("huggingface_hub", extra="diffusers")
    places = ("", "unet/", "scheduler/")
    wanted = [f"{place}{file}" for place in places for file in (MODEL, SCHEDULER, INDEX, WEIGHT_FILES[0])]
    try:
        folder = Path(hub.snapshot_download(name, allow_patterns=wanted, local_files_only=not online))
        if not (_part(folder, "unet") / WEIGHT_FILES[0]).is_file():
            wanted += [f"{place}{WEIGHT_FILES[1]}" for place in places]
            folder = Path(hub.snapshot_download(name, allow_patterns=wanted, local_files_only=not online))
    except (OSError, ValueError, hub.errors.HfHubHTTPError) as error:
        raise_shortage(error, reading=name)
        raise ModelError(
            f"{name} is no file or folder, and cannot be had from the Hugging Face hub: {_first_line(error)}",
            expected="a run, a model.safetensors, a diffusers folder, or the OWNER/NAME of a model on the hub",
            remedy="download it where there is a network, and name the folder",
        ) from error
    return folder


def modern(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the names that diffusers gives them now; 1 x 1 convolutions of attention as matrices."""
    renamed = {}
    for name, tensor in tensors.items():
        old = _ATTENTION.fullmatch(name)
        if old is not None and old[2] in _MODERN:
            name, tensor = f"{old[1]}.{_MODERN[old[2]]}.{old[3]}", tensor.flatten(1) if tensor.ndim > 1 else tensor
        renamed[name] = tensor
    return renamed


def _part(path: Path, name: str) -> Path:
    """The folder of a part of a pipeline, in either layout."""
    return path / name if (path / name).is_dir() else path


def _refuse_larger_pipeline(path: Path) -> None:
    index = path / INDEX
    parts = _json(index) if index.is_file() else {}
    more = [name for name, value in parts.items() if isinstance(value, list) and any(value) and name[:1] != "_"]
    if other := sorted({*more} - {"unet", "scheduler"}):
        raise ModelError(
            f"{path}: its network works on what {', '.join(other)} makes of an image",
            expected="a pipeline of a network of pixels and a scheduler",
        )


def _json(file: Path) -> dict[str, Any]:
    return read_object(
        file, lambda finding: ModelError(f"{file} {finding}", expected="settings in JSON"), most=_MAX_BYTES
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
