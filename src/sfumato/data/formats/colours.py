"""Masks in colours, and the table that says what they mean: `labelmap.txt`, as CVAT and Datumaro write it beside them.

    # label:color_rgb:parts:actions
    background:0,0,0::
    polyp:250,50,83::

The background (so called, or else black) is class 0; the others follow in the order of the table. A mask that JPEG
blurred has further colours along its edges: each pixel is of the nearest colour, where all even areas have one of them.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, Shaped

from sfumato.errors import DataError, listed
from sfumato.files import read_file

LABELMAP_FILE = "labelmap.txt"

ABOVE = 3
"""How many folders above that of a mask the table may lie: masks/, SegmentationClass/, train/masks/."""

_MOST = 24
"""Colours that may be classes; smooth edges and JPEG make far more."""

LOSSY = (".jpg", ".jpeg", ".jpe")
"""Endings of masks whose colours are blurred."""

_EVEN, _NEAR, _AT_ENDS = 12, 64, 12
"""Largest differences: between neighbours of an even area, of one colour, and to 0 or 255 where that is meant."""

_SHARE = 0.001
"""Share of the pixels of a picture that a colour of its even areas has at least."""

_LINE = re.compile(r"(?P<name>[^:]+):(?P<red>\d{1,3}),(?P<green>\d{1,3}),(?P<blue>\d{1,3})(?::.*)?")


class Colours(NamedTuple):
    """What colours mean.

    Attributes:
        path: of the table.
        names: of the classes by index, background first.
        codes: red, green and blue of each as one number, see `_coded`.
    """

    path: Path
    names: tuple[str, ...]
    codes: Integer[np.ndarray, " classes"]

    def classes(self, pixels: Shaped[np.ndarray, "h w 3"]) -> Integer[np.ndarray, "h w"] | None:
        """The class of each pixel; None where there are colours of no class."""
        order = np.argsort(self.codes)
        wanted = _coded(pixels)
        places = np.searchsorted(self.codes[order], wanted).clip(max=len(order) - 1)
        if (self.codes[order][places] != wanted).any():
            return None
        return np.asarray(order[places].astype(np.uint8))

    def nearest(self, pixels: Shaped[np.ndarray, "h w 3"]) -> Integer[np.ndarray, "h w"] | None:
        """The class of the nearest colour of each pixel of a blurred mask; None where even areas have another one."""
        if self.unknown(pixels, blurred=True):
            return None
        wide = pixels.astype(np.int32)
        away = np.stack([((wide - colour) ** 2).sum(axis=2) for colour in map(_parts, self.codes.tolist())])
        return np.asarray(away.argmin(axis=0).astype(np.uint8))

    def unknown(self, pixels: Shaped[np.ndarray, "h w 3"], *, blurred: bool = False) -> list[str]:
        """The colours that the table does not name, the most frequent first; of a blurred mask those of even areas."""
        if blurred:
            known = list(map(_parts, self.codes.tolist()))
            return [_told(code) for code in colours_of_areas(pixels) if not _is_near(_parts(code), known)]
        codes, counts = np.unique(_coded(pixels), return_counts=True)
        ranked = [int(code) for code in codes[np.argsort(-counts)] if code not in self.codes]
        return list(map(_told, ranked))


def find_colours(path: Path) -> Colours | None:
    """The table of colours in the folder of a mask, or in one of the next above it.

    Raises:
        DataError: it cannot be read, or two classes have one colour.
    """
    for folder in list(path.parents)[: ABOVE + 1]:
        if (table := folder / LABELMAP_FILE).is_file():
            return _read(table)
    return None


def colours_in(pixels: Shaped[np.ndarray, "h w 3"]) -> frozenset[int]:
    """The colours of a mask, each as one number."""
    return frozenset(np.unique(_coded(pixels)).tolist())


def colours_of_areas(pixels: Shaped[np.ndarray, "h w 3"]) -> list[int]:
    """The colours of the even areas of a blurred mask, each as one number, the most frequent first."""
    rows, columns = pixels.shape[0] - 2, pixels.shape[1] - 2
    if min(rows, columns) < 1:
        return []
    around = [pixels[row : row + rows, column : column + columns] for row in range(3) for column in range(3)]
    spread = np.maximum.reduce(around).astype(np.int16) - np.minimum.reduce(around)
    even = pixels[1:-1, 1:-1][spread.max(axis=2) <= _EVEN]
    codes, counts = np.unique(_coded(even[None]), return_counts=True)
    found = dict[int, int]()
    for place in np.argsort(-counts, kind="stable").tolist():
        code = int(codes[place])
        own = next((other for other in found if _is_near(_parts(code), [_parts(other)])), code)
        found[own] = found.get(own, 0) + int(counts[place])
    least = _SHARE * pixels.shape[0] * pixels.shape[1]
    return [_one_number(*map(_at_end, _parts(code).tolist())) for code, count in found.items() if count >= least]


def of_one_kind(colours: Iterable[int]) -> frozenset[int]:
    """Colours of several blurred masks, each kind once."""
    kept = list[int]()
    for code in colours:
        if not _is_near(_parts(code), list(map(_parts, kept))):
            kept.append(code)
    return frozenset(kept)


def _is_near(colour: Integer[np.ndarray, " 3"], others: Sequence[Integer[np.ndarray, " 3"]]) -> bool:
    return any(bool(np.abs(colour - other).max() <= _NEAR) for other in others)


def _at_end(part: int) -> int:
    return 0 if part <= _AT_ENDS else 255 if part >= 255 - _AT_ENDS else part


def _parts(code: int) -> Integer[np.ndarray, " 3"]:
    return np.array([code >> 16, code >> 8 & 255, code & 255])


def way_with_table(colours: frozenset[int]) -> str:
    """How to have masks in colours read: with the lines of a table for them, where they are few enough to be classes.

    Args:
        colours: those that were found (`colours_in`).
    """
    drawn = sorted(colours - {0}, reverse=True)
    lines = ["background:0,0,0::", *(f"colour_{n}:{_told(code)}::" for n, code in enumerate(drawn, start=1))]
    named = f", your names for colour_1 ...:\n{listed(lines)}" if 0 < len(drawn) <= _MOST else ": name:red,green,blue::"
    return (
        "save it as a grey or palette image whose values are the classes; or write what its colours mean into "
        f"{LABELMAP_FILE} beside it, a line each{named}"
    )


def _read(table: Path) -> Colours | None:
    """What a table says; None where it is none of colours."""
    text = read_file(table).decode("utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = [_LINE.fullmatch(line) for line in lines]
    rows = [(row["name"].strip(), _one_number(*map(int, row.group("red", "green", "blue")))) for row in found if row]
    if not rows or len(rows) < len(lines) or len(rows) > 255:
        return None
    rows.sort(key=lambda row: (row[0].lower() != "background", row[1] != 0))  # a stable order
    codes = np.array([code for _, code in rows])
    if len(set(codes.tolist())) < len(codes):
        raise DataError(
            f"{table}: classes share a colour:\n{listed([name for name, _ in rows])}",
            expected="a colour of its own for each class",
            remedy="mend the table, or export the masks again",
            code="DATA-013",
        )
    return Colours(table, tuple(name for name, _ in rows), codes)


def _told(code: int) -> str:
    return f"{code >> 16},{code >> 8 & 255},{code & 255}"


def _one_number(red: int, green: int, blue: int) -> int:
    return red << 16 | green << 8 | blue


def _coded(pixels: Shaped[np.ndarray, "h w 3"]) -> Integer[np.ndarray, "h w"]:
    wide = pixels.astype(np.int64)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])
