"""How an image is named: by a file, or by a file and what is in it, with `::` between them.

`scans.npz::images/17` (array `images`, row 17), `masks.npy::17/0` (row 17, then 0), `volumes.npy::3/:/17` (row 3, all
planes, line 17: a cut along another axis), `t10k-images-idx3-ubyte.gz::17`, `set.zip::00000/x.png`,
`scan.nii.gz::axial/17`, `stack.tif::page/17` (and `stack.tif::page/:`, all pages as channels),
`coco.json::outline/17@512x640` (what was drawn on its image 17).

Names of folders and files, and those within an archive, may have a `::` themselves. Then the longest beginning that is
there is the file; where nothing is there any more, the first that is named like a file with something in it.
"""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.endings import VOLUMES

BETWEEN = "::"

_HOLDING = (".zip", ".npz", ".npy", ".gz", "-ubyte", *(ending for endings in VOLUMES.values() for ending in endings))
"""How names of files end that hold several images."""

PART_MARK = re.compile(r"//(within|on|(?:fill)?(?:\d*|any|as\d[\d.-]*))=")
"""What stands before each file of a mask of several (`sfumato.data.formats.joined`)."""

_PLANE = re.compile(r"(?:axial|coronal|sagittal)/\d+|page/(?:\d+|:)$|outline/\d+@")
"""How a member begins that is a plane of a volume, whatever the name of its file."""


class Locator(NamedTuple):
    """A file, or something in it."""

    path: Path
    member: str = ""

    @classmethod
    def parse(cls, text: str) -> "Locator":
        """From `path` or `path::member`, of a mask of several files the first; the latest are remembered."""
        return _parsed(text)

    def __str__(self) -> str:
        return f"{self.path}{BETWEEN}{self.member}" if self.member else str(self.path)


@lru_cache(maxsize=64)
def _parsed(text: str) -> Locator:
    if PART_MARK.match(text):
        text = PART_MARK.split(text)[2]
    if BETWEEN not in text:
        return Locator(Path(text))
    place = _place(text, [found.start() for found in re.finditer(f"(?={BETWEEN})", text)])
    return Locator(Path(text)) if place is None else Locator(Path(text[:place]), text[place + len(BETWEEN) :])


def _place(text: str, places: list[int]) -> int | None:
    """Where the member begins, or rather what stands before it; None where there is none."""
    if not places:
        return None
    holding = [place for place in places if text[:place].lower().endswith(_HOLDING)]
    if len(places) == 1 and holding:
        return places[0]
    if os.path.lexists(text):
        return None
    there = [place for place in places if os.path.lexists(text[:place])]
    planes = [place for place in places if _PLANE.match(text, place + len(BETWEEN))]
    return next(iter([*there[::-1], *holding, *planes]), None)
