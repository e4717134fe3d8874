"""A network that always sees batches of one size, so that the bits of a result do not depend on the batch.

The kernels of matrix products and convolutions are chosen by the shape of the batch, and each adds up in an order of
its own: an item in a batch of 2 differs in the last bits from the same item in a batch of 8. Its place within a batch
of one size changes nothing. So batches are cut into pieces of a fixed size, the last one filled up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from sfumato.diffusion.process import Condition, EncodedImages, Network
from sfumato.typing import Data, Output, PerItem

_LARGEST = {"cpu": 8}
"""Most items of a piece on a kind of device: more gain nothing there."""

LARGEST_ELSEWHERE = 32

_PIXELS = 2**19
"""Most pixels, or voxels, of a piece of several items: memory stays bounded for large images."""


@dataclass(frozen=True)
class MicroBatches:
    """A network behind batches of one size.

    Args:
        network: sees batches of exactly `size` items.
        size: chosen by `piece_size`, from the device and the size of the images alone.
    """

    network: Network
    size: int

    def __call__(self, x: Data, level: PerItem, condition: Condition) -> Output:
        """What the network says of each item."""
        outputs = [self.network(*piece) for piece in self._pieces(x, level, condition)]
        return torch.cat(outputs)[: len(x)]

    def _pieces(self, x: Data, level: PerItem, condition: Condition) -> Iterator[tuple[Data, PerItem, Condition]]:
        for start in range(0, len(x), self.size):
            rows = self._rows(start, x)
            given = {each.name: getattr(condition, each.name) for each in fields(condition)}
            taken: dict[str, Any] = {name: value[rows] for name, value in given.items() if isinstance(value, Tensor)}
            if condition.encoded is not None:
                taken["encoded"] = condition.encoded.rows(self._images(start, x, condition.encoded))
            yield x[rows], level[rows], replace(condition, **taken)

    def _images(self, start: int, x: Data, encoded: EncodedImages) -> slice | Tensor:
        """The encoded image of each item of a piece, of which as many items side by side have the same; or of all."""
        each = len(x) // len(encoded.logits)
        first, last = (min(item, len(x) - 1) // each for item in (start, start + self.size - 1))
        if first == last:
            return slice(first, first + 1)
        items = torch.arange(start, start + self.size, device=x.device).clamp(max=len(x) - 1)
        return items // each

    def _rows(self, start: int, x: Data) -> slice | Tensor:
        """The items of a piece; beyond the last item comes the last item again."""
        if start + self.size <= len(x):
            return slice(start, start + self.size)
        return torch.arange(start, start + self.size, device=x.device).clamp(max=len(x) - 1)


def piece_size(x: Data) -> int:
    """Items of a piece, from the device and the shape of one item alone."""
    pixels = x[0, 0].numel()
    return max(1, min(_LARGEST.get(x.device.type, LARGEST_ELSEWHERE), _PIXELS // pixels))
