"""Weights in safetensors files: read without trust, fitted without surprise, packed without ties."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from sfumato.atomic import write_atomic
from sfumato.errors import ModelError, listed
from sfumato.files import check_regular, open_file
from sfumato.finite import unusable
from sfumato.shortage import raise_shortage
from sfumato.training.shard import placed

AS_SAFETENSORS = (
    "ask its author for safetensors; or convert it, which works for bare tensors and runs nothing: python -c "
    "\"import torch, safetensors.torch as s; s.save_file(torch.load('{file}', weights_only=True), '{out}')\""
)
"""The way out of a pickle."""

_PICKLES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin"})


def load_weights(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a lone safetensors file.

    Raises:
        ModelError: the file is missing, damaged, or a pickle, which could run any program and is never opened.
    """
    if not file.is_file():
        raise ModelError(f"{file}: there is no such file", expected="a .safetensors file")
    if file.suffix.lower() in _PICKLES or _looks_pickled(file):
        raise ModelError(
            f"{file}: this is a pickle, which could run any program on this machine",
            expected="a .safetensors file",
            remedy=AS_SAFETENSORS.format(file=file.name, out=f"{file.stem}.safetensors"),
        )
    try:
        with safetensors.safe_open(file, framework="pt") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}, dict(archive.metadata() or {})  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise_shortage(error, reading=file)
        raise ModelError(f"{file}: damaged ({error})", expected="a complete .safetensors file") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # of a kind of number that torch has not
        raise ModelError(f"{file}: holds tensors that torch cannot read ({error})", expected="floats") from error


def load_bin(file: Path) -> dict[str, Tensor]:
    """Tensors of a `.bin` of diffusers: a pickle, of which only tensors are read and nothing is run.

    Raises:
        ModelError: it is damaged, or holds anything but tensors by name.
    """
    _refuse_packed(file)
    try:
        check_regular(file)
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind: the reader stops where the pickle is broken
        raise_shortage(error, reading=file)
        raise _not_weights(file, str(error).partition("\n")[0]) from error
    if not isinstance(tensors, Mapping) or not all(map(_is_named_tensor, tensors.items())):
        raise _not_weights(file, "it holds other things than tensors by name")
    if larger := [name for name, value in tensors.items() if value.nbytes > file.stat().st_size]:
        raise _not_weights(file, f"{larger[0][:80]} is larger than the file")
    return dict(tensors)


def _is_named_tensor(entry: tuple[object, object]) -> bool:
    name, value = entry
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided


def _refuse_packed(file: Path) -> None:
    """Torch stores its archives as they are; one that is packed could unfold to more than memory holds."""
    if not zipfile.is_zipfile(file):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise_shortage(error, reading=file)
        raise _not_weights(file, str(error)) from error
    if packed:
        raise _not_weights(file, f"{packed[0][:80]} is compressed")


def _not_weights(file: Path, why: str) -> ModelError:
    return ModelError(
        f"{file}: this pickle cannot be read as bare weights ({why})",
        expected="tensors by name, and nothing that would have to be run",
        remedy="ask its author for safetensors weights",
    )


def write_weights(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a lone safetensors file; a reader sees the old file or the new one, never half of it."""
    write_atomic(file, safetensors.torch.save(plain_tensors(tensors), dict(metadata)))


def fill_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network, all or none.

    Args:
        network: takes the weights.
        tensors: name -> tensor, exactly those of the network.
        source: where the weights come from, for the message.

    Raises:
        ModelError: names, shapes or kinds of numbers differ, or numbers are not finite; the first are listed.
    """
    own = network.state_dict()
    check_weights(tensors, own, source=source)
    network.load_state_dict({name: placed(tensor, own[name]) for name, tensor in tensors.items()})


def check_weights(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse weights that are not a network's, which may be without numbers itself; see `fill_weights`."""
    shapes = {name: tuple(tensor.shape) for name, tensor in wanted.items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differences = [
        f"{name}: the network has {shapes.get(name, 'nothing')}, the file {given.get(name, 'nothing')}"
        for name in sorted(shapes.keys() | given.keys())
        if shapes.get(name) != given.get(name)
    ]
    if differences:
        raise ModelError(
            f"{source}: these weights are of another network\n{listed(differences)}",
            expected="weights of a network with the same settings",
            remedy="compare the network section of the recipe with the one that the file was trained with",
        )
    check_weight_numbers(tensors, wanted, source=source)


def check_weight_numbers(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse weights that are NaN, infinite or whole numbers; names that a network lacks are passed over.

    Raises:
        ModelError: the first are listed.
    """
    if broken := list(unusable(tensors, wanted)):
        raise ModelError(
            f"{source}: {len(broken)} of {len(tensors)} tensors are no weights\n{listed(broken)}",
            expected="finite numbers, stored as float32, float64, float16 or bfloat16",
            remedy="the training had diverged, or the file was damaged: take an earlier checkpoint, or get it again",
        )


def plain_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors wants them: on the CPU, contiguous, and no two in the same memory."""
    plain, seen = {}, set()
    for name, tensor in tensors.items():
        packed = tensor.detach().cpu().contiguous()
        place = packed.untyped_storage().data_ptr()
        plain[name] = packed.clone() if place in seen else packed
        seen.add(place)
    return plain


def _looks_pickled(file: Path) -> bool:
    """Whether a file starts like a torch archive (zip) or a bare pickle.

    The length of the JSON with which safetensors begin may look like the start of a pickle; the JSON does not.
    """
    with open_file(file) as stream:
        start = stream.read(9)
    pickled = start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    return start[8:] != b"{" and (start[:2] == b"PK" or pickled)
