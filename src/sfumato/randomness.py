"""Where randomness comes from: a seed for each purpose and each item, and one generator for each item.

So item i of a batch depends on its seed alone, not on the batch it happens to be in, its size, the device, or the
number of processes; and to resume, the step number is all there is to know.
"""

import hashlib
from collections.abc import Callable, Sequence
from copy import copy

import torch
from torch import Tensor

from sfumato.gamma import log_gamma
from sfumato.typing import Data


def derive_seed(*parts: int | str) -> int:
    """Seed in [0, 2**63) for a purpose, e.g. `derive_seed(run_seed, "noise", step, slot)`.

    A counter-based rule instead of a running generator: to resume, the step number is all there is to know.
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator_of(seed: int) -> torch.Generator:
    """A generator for each seed in [0, 2**64).

    torch's own would take the low 32 bits alone, and of 65,000 seeds two would share their numbers. Up to 2**32 it is
    torch's own; beyond, the words of its state (a Mersenne twister's, which may be any but all zeros) are combined with
    those of a second one, seeded with the high bits and moved by a word.
    """
    generator = torch.Generator().manual_seed(seed % 2**32)
    if seed >= 2**32:
        state = generator.get_state().view(torch.int64)
        state[_WORDS] ^= torch.Generator().manual_seed(seed // 2**32).get_state().view(torch.int64)[_WORDS].roll(1)
        generator.set_state(state.view(torch.uint8))
    return generator


_WORDS = slice(3, 627)
"""Where torch keeps the 624 words of a Mersenne twister within its state."""


class Noise:
    """Where randomness comes from: one generator per item.

    Numbers are drawn on the CPU and moved, so a seed gives the same image on any device.

    Args:
        seeds: one seed for each item of the batch.
        device: where the drawn numbers are needed.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generators = [generator_of(seed) for seed in seeds]

    def __len__(self) -> int:
        return len(self.generators)

    def on(self, device: torch.device | str) -> "Noise":
        """The same generators, their numbers delivered to another device."""
        other = copy(self)
        other.device = torch.device(device)
        return other

    def part(self, items: slice) -> "Noise":
        """The generators of some of the items."""
        other = copy(self)
        other.generators = self.generators[items]
        return other

    def repeated(self, times: int) -> "Noise":
        """Every item so many times, side by side; they take turns with its generator."""
        other = copy(self)
        other.generators = [generator for generator in self.generators for _ in range(times)]
        return other

    def normal(self, like: Data) -> Data:
        """Unit normal numbers, shape and dtype of `like`."""
        return self._draw(torch.randn, tuple(like.shape[1:]), like.dtype)

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [0, 1), float32, shape (items, *shape)."""
        return self._draw(torch.rand, shape, torch.float32)

    def log_gamma(self, concentration: Data) -> Data:
        """Logarithms of Gamma numbers with scale 1, where `concentration` is; float64 (see `gamma`)."""
        return log_gamma(concentration.flatten(1), self.generators).view_as(concentration)

    def _draw(self, kind: Callable[..., Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        drawn = torch.stack([kind(shape, generator=generator, dtype=dtype) for generator in self.generators])
        return drawn.to(self.device, non_blocking=True)
