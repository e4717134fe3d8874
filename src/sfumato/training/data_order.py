"""The order of the data: a pure function of the step.

Sample g = step * batch + slot of a run is row `order(epoch)[g mod n]` of epoch `g // n`, and the order of an epoch is a
permutation that depends on (seed, epoch) alone. So a resumed run needs the step number and nothing else, any number of
processes sees the same global batch, and every row comes exactly once in an epoch (a batch may span two).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch

from sfumato.errors import DataError, UsageError
from sfumato.randomness import derive_seed


class Batch(NamedTuple):
    """The samples of one forward pass.

    Attributes:
        step: index of the training step, from 0.
        slots: position of each sample in the global batch; with `step` it names the sample's random numbers.
        rows: row of the dataset in each slot.
        stage: of the curriculum, 0 for the plain loss.
    """

    step: int
    slots: tuple[int, ...]
    rows: tuple[int, ...]
    stage: int = 0


@dataclass(frozen=True)
class DataOrder:
    """An endless, shuffled walk through the rows of a split.

    Attributes:
        rows: the rows of the dataset to walk through.
        batch: size of the global batch, over all processes.
        seed: seed of the run.

    Raises:
        DataError: there are no rows.
        UsageError: the batch is smaller than 1.
    """

    rows: tuple[int, ...]
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if not self.rows:
            raise DataError("the training split is empty", expected="at least one case to train on", code="DATA-020")
        if self.batch < 1:
            raise UsageError(f"a batch of {self.batch}", expected="a batch of at least 1")

    def batch_at(self, step: int, *, rank: int = 0, world: int = 1, parts: int = 1) -> list[Batch]:
        """The share of one process in the global batch of a step.

        Args:
            step: index of the training step, from 0.
            rank: number of this process.
            world: number of processes; process `rank` has the slots `rank, rank + world, ...`.
            parts: number of contiguous pieces (gradient accumulation).

        Returns:
            The pieces, their sizes differing by one at most; empty pieces are left out.
        """
        slots = range(rank, self.batch, world)
        bounds = accumulate((len(slots) + part) // parts for part in range(parts))
        pieces = [slots[start:end] for start, end in pairwise([0, *bounds]) if start < end]
        return [Batch(step, tuple(piece), self._rows_at(step, piece)) for piece in pieces]

    def _rows_at(self, step: int, slots: Sequence[int]) -> tuple[int, ...]:
        count = len(self.rows)
        places = [divmod(step * self.batch + slot, count) for slot in slots]
        return tuple(self.rows[_order(self.seed, epoch, count)[position]] for epoch, position in places)


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> tuple[int, ...]:
    """The permutation of an epoch; the current and the next one are kept."""
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    return tuple(torch.randperm(count, generator=generator).tolist())
