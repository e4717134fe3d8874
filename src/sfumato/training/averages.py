"""Averages that are kept on the way through a run, and others that are made of them afterwards.

Each is a file `step-00001200-width-0.05.safetensors`: the averaged weights after that step, and the buffers of the
network, with the header of a model, so it can be used as one.

They stay in float32. Rounded to float16 they are off by 2e-4 of the weights' norm, and what is made of them by 2e-4 to
8e-4 (widths 0.2 to 0.03): in a run of 400 steps a tenth to a half of the distance between widths 0.05 and 0.1, where
in float32 5e-7 to 1e-4 is left.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import safetensors
from torch import Tensor

from sfumato.errors import ModelError
from sfumato.files import check_regular, matching
from sfumato.shortage import raise_shortage
from sfumato.training.ema import EMA
from sfumato.training.processes import rank
from sfumato.training.profile import Kept
from sfumato.training.weights import write_weights

_NAME = re.compile(r"step-(\d{1,12})-width-(\d{1,3}(?:\.\d{1,20})?)\.safetensors", re.ASCII)


class KeptFile(NamedTuple):
    """An average in a file.

    Attributes:
        file: where.
        step: training steps done.
        width: of its profile.
    """

    file: Path
    step: int
    width: float

    @property
    def profile(self) -> Kept:
        """Its profile; every step of a run has as many images, so steps measure time."""
        return Kept(self.step, self.width)


def keep_average(folder: Path, average: EMA, *, step: int, metadata: Mapping[str, str]) -> None:
    """Write an average with a width, in the first process; a file of the same step and width is replaced.

    Args:
        folder: made if needed.
        average: after the step.
        step: training steps done.
        metadata: the header of a model.
    """
    tensors = average.state_dict()
    if rank() == 0:
        folder.mkdir(exist_ok=True)
        write_weights(folder / f"step-{step:08d}-width-{average.width!r}.safetensors", tensors, metadata)


def kept_averages(folder: Path) -> list[KeptFile]:
    """The averages in a folder, by step and width; none if there is no such folder."""
    named = ((path, _NAME.fullmatch(path.name)) for path in matching(folder, "step-*"))
    found = [KeptFile(path, int(name[1]), float(name[2])) for path, name in named if name]
    return sorted(found, key=lambda kept: (kept.step, kept.width))


def add_together(kept: Sequence[KeptFile], shares: Sequence[float], names: Collection[str]) -> dict[str, Tensor]:
    """The sum of averages, each times its share; one file is open at a time.

    Args:
        kept: at least one.
        shares: one for each.
        names: the tensors to add.

    Raises:
        ModelError: a file is damaged, or of another network than the others.
    """
    sums: dict[str, Tensor] = {}
    for (file, _, _), share in zip(kept, shares, strict=True):
        try:
            check_regular(file)
            with safetensors.safe_open(file, framework="pt") as archive:
                for name in names:
                    tensor = archive.get_tensor(name).float()
                    if name in sums and sums[name].shape != tensor.shape:
                        raise ModelError(f"{file}: {name} has the shape {tuple(tensor.shape)}, in others another")
                    sums[name] = sums[name].add_(tensor, alpha=share) if name in sums else tensor * share
        except (safetensors.SafetensorError, OSError) as error:
            raise_shortage(error, reading=file)
            raise ModelError(f"{file}: damaged ({error})", expected="a complete .safetensors file") from error
    return sums
