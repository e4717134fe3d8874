"""CVAT for images: one XML file of images with polygons, and masks whose runs go along the rows of a box."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

from sfumato.data.formats.annotations.shapes import (
    Annotation,
    Annotations,
    Runs,
    Shape,
    annotations,
    checked,
    refuse_others,
    ring,
)

_NO_AREAS = ("points", "polyline", "tag")
"""Elements that enclose nothing, and are left out."""


def read_cvat(path: Path, content: bytes) -> Annotations:
    """What was drawn on the images of a file.

    Raises:
        DataError: there are boxes, ellipses or cuboids.
        Exception: whatever a damaged file leads to.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it declares a document type, which is never followed")
    images = list(fromstring(content).iter("image"))
    drawn = [item for image in images for item in image if item.tag not in _NO_AREAS]
    refuse_others(path, [item.tag for item in drawn if item.tag not in ("polygon", "mask")])
    return annotations([_drawn(image) for image in images])


def _drawn(image: Element) -> Annotation:
    size = int(image.attrib["height"]), int(image.attrib["width"])
    return Annotation((image.attrib["name"],), size, tuple(_shapes(image)))


def _shapes(image: Element) -> Iterator[Shape]:
    for item in image:
        if item.tag == "polygon":
            points = [[float(number) for number in pair.split(",")] for pair in item.attrib["points"].split(";")]
            yield Shape(item.attrib["label"], (ring(points),))
        elif item.tag == "mask":
            left, top, width, height = (int(item.attrib[name]) for name in ("left", "top", "width", "height"))
            counts = tuple(int(number) for number in item.attrib["rle"].split(","))
            yield Shape(item.attrib["label"], runs=checked(Runs(counts, (left, top, width, height), by_columns=False)))
