"""Fax codes: all rows are there, or it is said."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sfumato.data.formats.fax import GROUP3, GROUP4, RLE, check_fax

WIDTH = 5300
LENGTHS = (*range(64), 127, 128, 1727, 1728, 1729, 1791, 1792, 2559, 2560, 2561, 2623, 2624, 5120, 5199, WIDTH)


def rows() -> np.ndarray:
    """Runs of all lengths in both colours, and rows that differ a little from the one above."""
    rng = np.random.default_rng(0)
    made = [
        np.repeat([first, not first, first, not first], [n, 3, n, WIDTH])[:WIDTH] for n in LENGTHS for first in (0, 1)
    ]
    for _ in range(20):
        row = made[-1].copy()
        start = rng.integers(WIDTH)
        row[start : start + rng.integers(1, 30)] ^= True
        made.append(row)
    return np.stack([*made, *(rng.random((2, WIDTH)) < 0.5)]).astype(bool)


def strips(compression: str, tags: dict[int, int]) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The strips of a TIFF file that libtiff wrote, and how they are to be read."""
    buffer = io.BytesIO()
    Image.fromarray(rows()).save(buffer, "TIFF", compression=compression, tiffinfo=tags, strip_size=80_000)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        page = file.pages.first
        assert len(page.dataoffsets) > 1
        for number, (start, size) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
            yield (
                buffer.getvalue()[start : start + size],
                {
                    "kind": int(page.compression),
                    "rows": min(page.rowsperstrip, page.imagelength - number * page.rowsperstrip),
                    "width": page.imagewidth,
                    "options": int(page.tags.valueof("T4Options", default=0)),
                    "reversed_bits": page.fillorder == 2,
                },
            )


@pytest.mark.parametrize(
    ("compression", "kind", "tags"),
    [
        ("tiff_ccitt", RLE, {}),
        ("tiff_ccitt", RLE, {266: 2}),
        ("group3", GROUP3, {}),
        ("group3", GROUP3, {292: 1}),
        ("group3", GROUP3, {292: 4}),
        ("group3", GROUP3, {292: 5, 266: 2}),
        ("group4", GROUP4, {}),
        ("group4", GROUP4, {266: 2}),
    ],
)
def test_strips_of_libtiff_are_whole_until_they_are_cut(compression: str, kind: int, tags: dict[int, int]) -> None:
    end = 4 if kind == GROUP4 else 1  # behind the rows of Group 4 stands an end mark of three bytes
    for strip, how in strips(compression, tags):
        assert how["kind"] == kind
        check_fax(strip, **how)
        for cut in (strip[:0], strip[: len(strip) // 2], strip[:-20] + b"\x00\x10\x01", strip[:-end]):
            with pytest.raises(ValueError, match=f"of {how['rows']} rows"):
                check_fax(cut, **how)
        with pytest.raises(ValueError, match="rows"):
            check_fax(strip, **(how | {"rows": how["rows"] + 1}))


def test_codes_that_make_no_row_are_refused() -> None:
    for kind in (RLE, GROUP3, GROUP4):
        with pytest.raises(ValueError, match="0 of 2 rows"):
            check_fax(b"\xff" * 40 if kind == RLE else b"\x01" * 40, kind=kind, rows=2, width=24)
    check_fax(b"\xc0", kind=GROUP4, rows=2, width=24)  # two rows like the white one above the first
