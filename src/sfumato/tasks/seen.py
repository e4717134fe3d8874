"""How masks are drawn of images that a network sees once, whole or window by window.

Such is an amortised network (`networks.amortised`), and any network of a process whose state it never sees
(`diffusion.family.low_rank`): what it knows of an image is then all its answer, and a draw is made of that.

The state lives at the network's stride, on a canvas that has as many windows as the image; what the network knows of a
window is kept from call to call as long as there is room, else it looks again, to the same bits. The estimate after the
last call is refined to full size, window by window, and the probabilities are weighted as the estimates are
(`diffusion.tiled`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby

import torch
from torch import Tensor, nn

from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.diffusion.micro_batches import piece_size
from sfumato.diffusion.process import Condition, EncodedImages, Network, Process, Step
from sfumato.diffusion.tiled import Windows
from sfumato.networks.amortised import Amortised
from sfumato.networks.blocks import crop, pad_to_multiple
from sfumato.typing import Data, Output, PerItem

KEPT_BYTES = 2**29
"""Of what is known of windows, so much is kept."""


_Refine = Callable[[Output, EncodedImages], Data]
"""Logits at full size from estimates."""


@dataclass
class _Kept:
    """What is known of windows, by their number, as long as there is room."""

    windows: dict[int, EncodedImages] = field(default_factory=dict)
    size: int = 0

    def keep(self, number: int, known: EncodedImages) -> None:
        """Keep what is known of a window."""
        size = sum(each.nbytes for each in (*known.features, known.logits))
        if self.size + size <= KEPT_BYTES:
            self.windows[number] = known
            self.size += size


@dataclass(frozen=True)
class Stateless:
    """A network that is given no state, as one that sees an image once.

    Args:
        network: in evaluation mode.
        channels: of the zeros that it is given in place of a state.
        dimensions: 2 for images, 3 for volumes.
    """

    network: Network
    channels: int
    dimensions: int

    @property
    def stride(self) -> tuple[int, ...]:
        """A pixel of the state is one of the image."""
        return (1,) * self.dimensions

    def encode(self, image: Data) -> EncodedImages:
        """The answer to images (b, c, *space)."""
        nothing = image.new_zeros(len(image), self.channels, *image.shape[2:])
        return EncodedImages((), self.network(nothing, image.new_zeros(len(image)), Condition(image=image)))

    def __call__(self, x: Data, level: PerItem, condition: Condition) -> Output:  # noqa: ARG002
        """The answer again, for each of the states."""
        assert condition.encoded is not None, "what of an image is known is told"
        return condition.encoded.repeated(len(x) // len(condition.encoded.logits)).logits


@dataclass(frozen=True)
class SeenImages:
    """Images as a network knows them that sees them once.

    Args:
        network: in evaluation mode.
        images: (n, c, *space), each of them once.
        window: sides of a window in pixels.
        rows: of which image each mask is.
    """

    network: Amortised | Stateless
    images: Data
    window: tuple[int, ...]
    rows: tuple[int, ...]
    _kept: _Kept = field(default_factory=_Kept, repr=False)

    def of_masks(self, rows: Sequence[int]) -> "SeenImages":
        """The same for other masks: of which of its masks' images each is; what is known is shared."""
        return replace(self, rows=tuple(self.rows[row] for row in rows))

    @property
    def stride(self) -> tuple[int, ...]:
        """Sides in pixels of what is one pixel of the state."""
        return self.network.stride

    @cached_property
    def states(self) -> Windows:
        """The windows of the state."""
        canvas, window = (
            tuple(-(-length // side) for length, side in zip(each, self.stride, strict=True))
            for each in (self.images.shape[2:], self.window)
        )
        return Windows(canvas, window)

    @cached_property
    def _pixels(self) -> Windows:
        """The same windows of the image."""
        canvas, window = (
            tuple(length * side for length, side in zip(each, self.stride, strict=True))
            for each in (self.states.canvas, self.states.window)
        )
        return Windows(canvas, window, step=self.stride)

    @cached_property
    def _whole(self) -> Data:
        """The images; where there are several windows, their last rows again until the windows fill them."""
        return self.images if len(self.states.places) == 1 else pad_to_multiple(self.images, self.stride)

    @cached_property
    def _shown(self) -> tuple[tuple[int, ...], int]:
        """The images in the order of their masks, and how many masks each has; one of each mask where that differs."""
        runs = [(row, len(list(masks))) for row, masks in groupby(self.rows)]
        each = runs[0][1]
        if any(count != each for _, count in runs):
            return self.rows, 1
        return tuple(row for row, _ in runs), each

    def of_windows(self, numbers: Sequence[int]) -> EncodedImages:
        """What is known of some windows: of each image of which there are masks, those of one window side by side."""
        parts = [self._of_window(number) for number in numbers]
        if len(parts) == 1:
            return parts[0]
        features = (torch.cat(each) for each in zip(*(part.features for part in parts), strict=True))
        return EncodedImages(tuple(features), torch.cat([part.logits for part in parts]))

    def _of_window(self, number: int) -> EncodedImages:
        known = self._kept.windows.get(number)
        if known is None:
            known = self._see(number)
            self._kept.keep(number, known)
        images, _ = self._shown
        if images == tuple(range(len(self.images))):
            return known
        return known.rows(torch.tensor(images, device=self.images.device))

    def _see(self, number: int) -> EncodedImages:
        """One image after the other, so that the bits do not depend on the others."""
        place = self._pixels.places[number] if len(self.states.places) > 1 else ...
        seen = [self.network.encode(image[place]) for image in torch.split(self._whole, 1)]
        features = (torch.cat(each) for each in zip(*(each.features for each in seen), strict=True))
        return EncodedImages(tuple(features), torch.cat([each.logits for each in seen]))

    def finished(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Steps of a sampling loop, of which the last one has the refined estimate, at full size."""
        for step in steps:
            if step.t == 0 and isinstance(self.network, Amortised):
                yield self._refined(step, self.network.refine)
            else:
                yield step

    def _refined(self, step: Step, refine: _Refine) -> Step:
        places = self.states.places
        if len(places) == 1:
            shares = self._shares(refine, step.x0, self.of_windows([0]))
        else:
            weights = self._pixels.weights(step.x0)
            shares = step.x0.new_zeros(len(step.x0), self._classes, *self._pixels.canvas)
            for number, (small, place) in enumerate(zip(places, self._pixels.places, strict=True)):
                shares[place].addcmul_(self._shares(refine, step.x0[small], self.of_windows([number])), next(weights))
            shares = crop(shares, self.images.shape[2:])
        x0 = shares.mul_(2).sub_(1)
        return step._replace(x=x0, x0=x0)

    @property
    def _classes(self) -> int:
        return self.of_windows([0]).logits.shape[1]

    def _shares(self, refine: _Refine, x0_hat: Tensor, known: EncodedImages) -> Tensor:
        """Class probabilities; refined in pieces of one size, so that the bits do not depend on the batch."""
        count, size, (_, each) = len(x0_hat), piece_size(known.logits), self._shown
        rows = torch.arange(-(-count // size) * size, device=x0_hat.device).clamp(max=count - 1)
        pieces = [refine(x0_hat[part], known.rows(part // each)) for part in torch.split(rows, size)]
        return torch.cat(pieces)[:count].to(x0_hat.dtype).softmax(1)


def seen(
    network: nn.Module | Network, images: Data, window: tuple[int, ...] | None, *, process: Process | None = None
) -> SeenImages | None:
    """The images as the network knows them, of each a mask; None for a network that looks at them in every call.

    Args:
        network: the network.
        images: (b, c, *space); those that follow each other and are equal are seen once.
        window: sides of a window in pixels; None: the whole image.
        process: whose states the network sees; None where it surely does.
    """
    once = _once(network, process, images.ndim - 2)
    if once is None:
        return None
    rows, different = list[int](), list[int]()
    for row in range(len(images)):
        if row == 0 or not torch.equal(images[row], images[row - 1]):
            different.append(row)
        rows.append(len(different) - 1)
    return SeenImages(once, images[different], window or tuple(images.shape[2:]), tuple(rows))


def sees_once(network: nn.Module | Network, process: Process | None) -> bool:
    """Whether an image is seen once for all its masks, each of which then costs little."""
    return isinstance(process, LowRankLogits) or (isinstance(network, Amortised) and not network.twin)


def _once(network: nn.Module | Network, process: Process | None, dimensions: int) -> Amortised | Stateless | None:
    """The network as one that sees an image once, if it is such."""
    if not sees_once(network, process):
        return None
    if isinstance(process, LowRankLogits):
        return Stateless(network, process.classes, dimensions)
    assert isinstance(network, Amortised)
    return network
