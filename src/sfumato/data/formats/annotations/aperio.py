"""Aperio ImageScope: an XML file for each image, of annotations (layers) with regions, whose corners are vertices."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

from sfumato.data.formats.annotations.shapes import Annotation, Annotations, Shape, annotations, refuse_others, ring

_KINDS = {"0": "outline", "1": "rectangle", "2": "ellipse", "3": "arrow", "4": "ruler", "5": "point"}
"""What the types of regions are; the vertices of the first two are all of their corners."""

_NO_AREAS = ("arrow", "ruler", "point")
"""Regions that enclose nothing, and are left out."""

_FEWEST = 3
"""Corners of an area."""


def read_aperio(path: Path, content: bytes) -> Annotations:
    """What was drawn on an image; a layer is a class, by its name or else its number.

    Raises:
        DataError: there are ellipses, or regions that are cut out of others.
        Exception: whatever a damaged file leads to.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it declares a document type, which is never followed")
    layers = list(fromstring(content).iter("Annotation"))
    regions = [region for layer in layers for region in layer.iter("Region")]
    refuse_others(path, [found for region in regions if (found := _other(region))])
    shapes = [shape for layer in layers for shape in _shapes(layer)]
    return annotations([Annotation((path.stem,), None, tuple(shapes))])


def _kind(region: Element) -> str:
    return _KINDS.get(region.attrib.get("Type", "0"), "unknown region")


def _other(region: Element) -> str:
    """What a region is that is no outline; empty for those that are one, or enclose nothing."""
    if region.attrib.get("NegativeROA", "0") == "1":
        return "region cut out of another"
    return "" if _kind(region) in ("outline", "rectangle", *_NO_AREAS) else _kind(region)


def _shapes(layer: Element) -> Iterator[Shape]:
    label = layer.attrib.get("Name", "").strip() or f"layer {layer.attrib.get('Id', '1')}"
    for region in layer.iter("Region"):
        points = [(float(vertex.attrib["X"]), float(vertex.attrib["Y"])) for vertex in region.iter("Vertex")]
        if _kind(region) not in _NO_AREAS and len(points) >= _FEWEST:
            yield Shape(label, (ring(points),))
