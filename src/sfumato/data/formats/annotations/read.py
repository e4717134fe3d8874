"""Files of annotation tools, known by what they hold; the latest are remembered: one has the masks of many images.

A mask is `annotations.json::outline/17@512x640`: what was drawn on the 17th image of the file (counted from 0), which
has 512 rows and 640 columns. `@values:3=1` gives the third class of the file the value 1, others none.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from sfumato.data.formats.annotations.aperio import read_aperio
from sfumato.data.formats.annotations.coco import read_coco
from sfumato.data.formats.annotations.cvat import read_cvat
from sfumato.data.formats.annotations.geojson import read_geojson
from sfumato.data.formats.annotations.labelme import read_labelme
from sfumato.data.formats.annotations.shapes import Annotations, painted, sized
from sfumato.data.formats.content import damaged, opened_file
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.volume import told_values
from sfumato.errors import DataError, SfumatoError
from sfumato.shortage import raise_shortage

OUTLINE = "outline/"

ANNOTATION_SUFFIXES = (".json", ".geojson", ".xml")

_MEMBER = re.compile(r"outline/(\d+)@(\d+)x(\d+)(?:@values:(\d+=\d+(?:,\d+=\d+)*))?")


class Outline(NamedTuple):
    """Which mask of a file: the number of its image, its height and width, and the values of classes by number."""

    number: int
    size: tuple[int, int]
    values: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        """As the member of a locator."""
        values = ",".join(f"{stored}={value}" for stored, value in self.values)
        return f"{OUTLINE}{self.number}@{self.size[0]}x{self.size[1]}{f'@values:{values}' if values else ''}"


def read_annotations(path: Path) -> Annotations:
    """What a file of an annotation tool holds.

    Raises:
        DataError: it is damaged, of another form, or has objects that are no outlines.
    """
    with opened_file(path, expected="a whole file of outlines"):
        return _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, _changed: int) -> Annotations:
    with opened_file(path, expected="a whole file of outlines") as file:
        content = file.read()
    try:
        found = _parsed(path, content)
    except SfumatoError:
        raise
    except Exception as error:  # parsers and strange contents raise whatever they like
        raise_shortage(error, reading=path)
        raise damaged(path, f"its outlines cannot be read ({type(error).__name__})") from error
    return found._replace(drawn=tuple(sized(found.drawn, path)))


def _parsed(path: Path, content: bytes) -> Annotations:
    if path.suffix.lower() == ".xml":
        return read_aperio(path, content) if b"<Annotations" in content else read_cvat(path, content)
    found = json.loads(content.decode("utf-8-sig"))
    if isinstance(found, dict) and "annotations" in found:
        return read_coco(path, found)
    if isinstance(found, dict) and "shapes" in found:
        return read_labelme(path, found)
    return read_geojson(path, found)


def read_outline(locator: Locator) -> Integer[np.ndarray, "h w"]:
    """The mask that a locator names.

    Raises:
        DataError: there is none of this name, or the file cannot be read.
    """
    found = read_annotations(locator.path)
    named = _MEMBER.fullmatch(locator.member)
    if named is None or int(named[1]) >= len(found.drawn):
        raise DataError(f"{locator}: no such outlines", expected="outline/NUMBER@HEIGHTxWIDTH", code="DATA-018")
    values = dict(told_values(named[4])) if named[4] else {number: number for number in range(1, len(found.labels) + 1)}
    meant = {label: values[number] for number, label in enumerate(found.labels, start=1) if number in values}
    return painted(found.drawn[int(named[1])], (int(named[2]), int(named[3])), meant)
