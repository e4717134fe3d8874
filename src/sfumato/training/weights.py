"""Weights in safetensors files: read without trust, fitted without surprise, packed without ties."""

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor, nn

from sfumato.atomic import write_atomic
from sfumato.errors import ModelError, listed

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
            remedy="ask its author for safetensors weights",
        )
    try:
        with safetensors.safe_open(file, framework="pt") as archive:
            return {name: archive.get_tensor(name) for name in archive.keys()}, dict(archive.metadata() or {})  # noqa: SIM118
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{file}: damaged ({error})", expected="a complete .safetensors file") from error


def write_weights(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a lone safetensors file; a reader sees the old file or the new one, never half of it."""
    write_atomic(file, safetensors.torch.save(plain(tensors), dict(metadata)))


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> None:
    """Load weights into a network, all or none.

    Args:
        network: takes the weights.
        tensors: name -> tensor, exactly those of the network.
        source: where the weights come from, for the message.

    Raises:
        ModelError: names or shapes differ; the first differences are listed.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    differences = [
        f"{name}: the network has {wanted.get(name, 'nothing')}, the file {given.get(name, 'nothing')}"
        for name in sorted(wanted.keys() | given.keys())
        if wanted.get(name) != given.get(name)
    ]
    if differences:
        raise ModelError(
            f"{source}: these weights are of another network\n{listed(differences, limit=5)}",
            expected="weights of a network with the same settings",
            remedy="compare the network section of the recipe with the one that the file was trained with",
        )
    network.load_state_dict(dict(tensors))


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as safetensors wants them: on the CPU, contiguous, and no two in the same memory."""
    plain, seen = {}, set()
    for name, tensor in tensors.items():
        packed = tensor.detach().cpu().contiguous()
        place = packed.untyped_storage().data_ptr()
        plain[name] = packed.clone() if place in seen else packed
        seen.add(place)
    return plain


def _looks_pickled(file: Path) -> bool:
    """Whether a file starts like a torch archive (zip) or a bare pickle."""
    with file.open("rb") as stream:
        start = stream.read(4)
    return start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))
