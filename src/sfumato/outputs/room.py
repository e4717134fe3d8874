"""How much memory the masks of a case take, told before they are drawn.

In bytes, with N pixels of the image, M of what the model sees, S of its state, k members and C classes:

    drawing    the image, 4 c M; members, 4 k C M, of which many are kept in 2 k C M; and of a network that sees images
               once the probabilities of a mask twice, 8 C M, and what is known of windows; of any other `_STATES`
               states, 4 C S each
    deciding   members, their features, (4 C + k) M, or their maps, (4 C + k + 9) N and with double precision
               (8 C + k + 17) N; where M is not N members in both sizes, and one of them twice as float32
    writing    of a volume its maps, in halves what is of two kinds, and one of them as a file

and in each what has been read, the picture, and what the process has already. The largest of these is told. It was
compared with what runs took: docs/data.md.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import psutil

from sfumato.data.extent import Extent, extent
from sfumato.data.units import Unit
from sfumato.diffusion.family.low_rank import LowRankLogits
from sfumato.errors import ResourceError
from sfumato.experiment.inference import DRAWN_AT_ONCE, map_dtype, share_dtype
from sfumato.experiment.run import Model
from sfumato.networks.amortised import Amortised
from sfumato.outputs.predictions import Extra
from sfumato.tasks.seen import KEPT_BYTES
from sfumato.training.hardware import total_memory
from sfumato.wording import told_size

_STATES = 6
"""States of a walk at once: the present and the last one, two estimates, noise, and what is made of them."""

_ON_THE_WAY = 450_000_000
"""Bytes of what is made of some rows on the way, and of the activations of a window."""

_FILE = 18
"""Bytes for each voxel of a map that is written as a file."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """The case that takes the most memory.

    Attributes:
        id: of the image or volume.
        size: its sides in pixels.
        needed: bytes, about.
    """

    id: str
    size: tuple[int, ...]
    needed: int

    def words(self) -> str:
        """What is told of it."""
        return f"memory: about {told_size(self.needed)} of {told_size(total_memory())}, for {self._which}"

    def check(self) -> None:
        """Refuse what this machine does not hold.

        Raises:
            ResourceError: it is more than the memory of the machine.
        """
        if self.needed > total_memory():
            raise ResourceError(
                f"the masks of {self._which} take about {told_size(self.needed)} of memory",
                expected=f"at most the {told_size(total_memory())} of this machine",
                remedy="fewer --samples, less to --save, or an image that is cut, or resampled to fewer pixels",
            )

    @property
    def _which(self) -> str:
        return f"{self.id} of {' x '.join(map(str, self.size))}"


def largest(model: Model, units: Sequence[Unit], *, members: int, batch: int, save: Collection[Extra]) -> Room | None:
    """The case of some that takes the most memory; None where no header tells the size of any.

    Args:
        model: what draws; of several the first one.
        units: images and volumes.
        members: of all models.
        batch: masks drawn at once.
        save: what is written besides masks.
    """
    used, rooms = psutil.Process().memory_info().rss, []
    for unit in units:
        if (found := extent(unit.cases[0].image)) is not None:
            work = Work.of(model, unit, found, members=members, batch=batch, save=save)
            rooms.append(Room(id=unit.id, size=found.size, needed=used + work.needed))
    return max(rooms, key=lambda room: room.needed, default=None)


@dataclass(frozen=True, kw_only=True)
class Work:
    """The masks of one case; see the head of this file.

    Attributes:
        pixels: of what is drawn at once: an image, a plane, a whole volume.
        seen: the same as the model sees it.
        state: pixels of the state.
        channels: of what the model sees.
        classes: of masks.
        members: of the ensemble.
        at_once: masks drawn at once.
        once: whether the network sees an image once.
        factors: channels of a state beside those of the classes, of logits that are drawn.
        flat: whether it is an image or a plane.
        read: bytes of the volume that planes are read of; 0 of a picture.
        voxels: of the volume that is written; 0 of a picture.
        shares: whether probabilities are written.
    """

    pixels: int
    seen: int
    state: int
    channels: int
    classes: int
    members: int
    at_once: int
    once: bool
    flat: bool
    factors: int = 0
    read: int = 0
    voxels: int = 0
    shares: bool = False

    @classmethod
    def of(
        cls, model: Model, unit: Unit, found: Extent, *, members: int, batch: int, save: Collection[Extra]
    ) -> "Work":
        """The work on a unit of which a header tells the size."""
        spec, network = model.spec, model.network
        size = found.size[-spec.dimensions :]
        spacing = None if found.spacing is None else found.spacing[-spec.dimensions :]
        known = spec.spacing is None or spacing is not None  # else it is refused when it is read
        canvas = spec.canvas.place(size, spacing).canvas if known else size
        stride = math.prod(network.stride) if isinstance(network, Amortised) else 1
        voxels = math.prod(found.size) if unit.volume else 0
        return cls(
            pixels=math.prod(size),
            seen=math.prod(canvas),
            state=math.prod(canvas) // stride,
            channels=spec.channels,
            classes=len(spec.mask_classes),
            members=members,
            at_once=min(members, batch, max(1, DRAWN_AT_ONCE // math.prod(canvas))),
            once=model.sees_once,
            flat=spec.dimensions == 2,
            factors=model.process.rank if isinstance(model.process, LowRankLogits) else 0,
            read=voxels * found.bytes_each,
            voxels=voxels,
            shares="probability" in save,
        )

    @property
    def needed(self) -> int:
        """Bytes of memory, beside what the process has before."""
        held = self.read + self.pixels * self.channels + _ON_THE_WAY
        stack = self.voxels * (5 + self.members + 2 * self.classes * self.shares)
        planes = stack if self.flat else 0
        return held + max(planes + self._drawing, planes + self._deciding, stack + self._writing)

    def _kept(self, pixels: int) -> int:
        """Of the members, in a size."""
        numbers = self.members * self.classes * pixels
        return numbers * share_dtype(numbers).itemsize

    @property
    def _drawing(self) -> int:
        mask = 4 * self.classes * self.at_once
        answers = self.classes * (2 + self.factors)
        known = min(KEPT_BYTES, 4 * self.seen * (answers + self.channels)) if self.once else 0
        walk = 2 * mask * self.seen if self.once else 0
        states = (_STATES * mask + 4 * self.at_once * self.factors) * self.state
        return 4 * self.channels * self.seen + self._kept(self.seen) + known + walk + states

    @property
    def _maps(self) -> int:
        each = map_dtype(self.pixels * self.classes, flat=self.flat).itemsize
        return self.pixels * (each * (self.classes + 2) + self.members + 1)

    @property
    def _deciding(self) -> int:
        features, resized = (4 * self.classes + self.members) * self.seen, self.seen != self.pixels
        back = self._kept(self.pixels) if resized else 0
        on_the_way = 8 * self.classes * self.pixels if resized else 0
        return self._kept(self.seen) + max(features, back + max(self._maps, on_the_way))

    @property
    def _writing(self) -> int:
        return max(self.voxels * _FILE, 0 if self.flat else self._maps)
