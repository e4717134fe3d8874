"""COCO: one JSON file of `images`, `categories` and `annotations`, whose segmentation is polygons or runs.

Several polygons of an annotation are its parts. Runs go down the columns; as text they are packed: five bits a
character, the lowest first, 32 for "more follows", 16 for a negative number; from the third run on, the difference to
the last but one.

Source: the format of cocodataset.org and the description of its runs there.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfumato.data.formats.annotations.shapes import (
    Annotation,
    Annotations,
    Runs,
    Shape,
    annotations,
    checked,
    refuse_others,
)
from sfumato.data.formats.annotations.shapes import ring as as_ring


def read_coco(path: Path, content: Mapping[str, Any]) -> Annotations:
    """What was drawn on the images of a COCO file.

    Raises:
        DataError: objects have boxes alone.
        Exception: whatever a damaged file leads to.
    """
    labels = {item["id"]: str(item["name"]) for item in content.get("categories") or ()}
    sizes = {image["id"]: (int(image["height"]), int(image["width"])) for image in content["images"]}
    shapes, others = defaultdict[Any, list[Shape]](list), list[str]()
    for item in content["annotations"]:
        label = labels.get(item["category_id"], str(item["category_id"]))
        found = list(_shapes(label, item.get("segmentation"), sizes[item["image_id"]]))
        shapes[item["image_id"]] += found
        others += [] if found else ["box"]
    refuse_others(path, others)
    drawn = [
        Annotation((str(image["file_name"]),), sizes[image["id"]], tuple(shapes[image["id"]]))
        for image in content["images"]
    ]
    return annotations(drawn, list(dict.fromkeys(labels.values())))


def _shapes(label: str, segmentation: Any, size: tuple[int, int]) -> Iterator[Shape]:
    if isinstance(segmentation, Mapping):
        height, width = map(int, segmentation["size"])
        if (height, width) != size:
            raise ValueError("runs of another size than their image")
        counts = segmentation["counts"]
        lengths = run_lengths(counts) if isinstance(counts, str) else map(int, counts)
        yield Shape(label, runs=checked(Runs(tuple(lengths), (0, 0, width, height), by_columns=True)))
        return
    for polygon in segmentation or ():
        yield Shape(label, (as_ring(polygon),))


def run_lengths(text: str) -> Iterator[int]:
    """The lengths of runs that are packed into a text."""
    before = [0, 0]
    number = shift = seen = 0
    for character in text.encode("ascii"):
        bits = character - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        length = number + (before[0] if seen > 2 else 0)
        yield length
        before = [before[1], length]
        seen, number, shift = seen + 1, 0, 0
