"""The array files of a prepared data set while they grow, and what is remembered of each case on the way.

Rows are appended to ordinary files, so a full disk is an error that can be told (a memory map would crash).
"""

import hashlib
import shutil
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from jaxtyping import UInt8

from sfumato.data.image import Pixels
from sfumato.data.manifest import Case
from sfumato.data.spec import has_colour, with_channels
from sfumato.errors import ResourceError


def disk_full(out: Path, need: int) -> ResourceError:
    """The error to raise; `need` in bytes, 0 when it is not known."""
    free = shutil.disk_usage(out.parent).free
    wanted = f"need {need / 1e9:.2f} GB, " if need else ""
    return ResourceError(
        f"the disk is full: {wanted}have {free / 1e9:.2f} GB at {out.parent}", remedy="free some space"
    )


class Decoded(NamedTuple):
    """A case: image and class masks at the model's size, and the original image."""

    case: Case
    image: Pixels
    masks: list[UInt8[np.ndarray, "h w"]]
    original: Pixels


@dataclass
class Facts:
    """What is remembered of each case while it is written."""

    sizes: list[tuple[int, int]] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    dtypes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    coloured: int = 0
    constant: int = 0
    empty: int = 0
    foreground: float = 0.0


class Store:
    """The two array files while they grow. Images start grey and are widened when the first colour comes."""

    def __init__(self, folder: Path, count: int, size: tuple[int, int], readers: int) -> None:
        self.count, self.size, self.readers = count, size, readers
        self.images, self.masks = folder / "images.npy", folder / "masks.npy"
        self.channels, self.dtype = 1, np.dtype(np.uint8)
        self.facts = Facts()
        self._images: BinaryIO | None = None
        self._masks: BinaryIO | None = None

    def close(self) -> None:
        """Finish the files."""
        for file in (self._images, self._masks):
            if file is not None:
                file.close()

    def add(self, decoded: Decoded) -> None:
        """Append a case."""
        self._remember(decoded)
        if self._images is None:
            self._begin(decoded.image.dtype)
        assert self._images is not None
        if self.channels == 1 and has_colour(decoded.image):
            self._images = self._widen(self._images)
        self._images.write(with_channels(decoded.image, self.channels).astype(self.dtype).tobytes())
        for reader in range(self.readers if decoded.masks and self._masks else 0):
            assert self._masks is not None
            self._masks.write(decoded.masks[reader % len(decoded.masks)].tobytes())

    def _begin(self, dtype: np.dtype) -> None:
        need = self.count * self.size[0] * self.size[1] * (3 * dtype.itemsize + self.readers)
        if need > shutil.disk_usage(self.images.parent).free:
            raise disk_full(self.images.parent, need)
        self.dtype = dtype
        self._images = _open_array(self.images, dtype, (self.count, *self.size, 1))
        if self.readers:
            self._masks = _open_array(self.masks, np.dtype(np.uint8), (self.count, self.readers, *self.size))

    def _widen(self, file: BinaryIO) -> BinaryIO:
        """Start again with three channels: grey rows so far are repeated."""
        file.close()
        grey = self.images.rename(self.images.with_suffix(".grey"))
        self.channels = 3
        wide = _open_array(self.images, self.dtype, (self.count, *self.size, 3))
        row = self.size[0] * self.size[1] * self.dtype.itemsize
        with grey.open("rb") as rows:
            np.lib.format.read_magic(rows)
            np.lib.format.read_array_header_1_0(rows)
            while content := rows.read(row):
                wide.write(np.repeat(np.frombuffer(content, self.dtype), 3).tobytes())
        grey.unlink()
        return wide

    def _remember(self, decoded: Decoded) -> None:
        original, facts = decoded.original, self.facts
        constant = bool((original == original.flat[0]).all())
        facts.sizes.append((original.shape[0], original.shape[1]))
        facts.digests.append("" if constant else _digest(original))
        facts.dtypes[str(original.dtype)].append(decoded.case.image)
        facts.coloured += has_colour(original)
        facts.constant += constant
        facts.empty += sum(not mask.any() for mask in decoded.masks)
        facts.foreground += sum(float((mask > 0).mean()) for mask in decoded.masks) / max(1, len(decoded.masks))


def _open_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> BinaryIO:
    file = path.open("wb")
    entry = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, entry)
    return file


def _digest(pixels: Pixels) -> str:
    """Equal for equal pictures, however they were encoded."""
    return hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()
