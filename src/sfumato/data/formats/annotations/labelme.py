"""LabelMe: a JSON file for each image, whose `shapes` have a label and points."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sfumato.data.formats.annotations.shapes import Annotation, Annotations, Shape, annotations, refuse_others, ring

_NO_AREAS = ("point", "points", "line", "linestrip")
"""Shapes that enclose nothing, and are left out."""


def read_labelme(path: Path, content: Mapping[str, Any]) -> Annotations:
    """What was drawn on an image.

    Raises:
        DataError: there are boxes, circles or masks.
        Exception: whatever a damaged file leads to.
    """
    shapes = [shape for shape in content["shapes"] if _kind(shape) not in _NO_AREAS]
    refuse_others(path, [_kind(shape) for shape in shapes if _kind(shape) != "polygon"])
    size = (int(content["imageHeight"]), int(content["imageWidth"])) if content.get("imageHeight") else None
    names = (path.stem, str(content.get("imagePath") or path.stem).replace("\\", "/"))
    found = [Shape(str(shape["label"]), (ring(shape["points"]),)) for shape in shapes]
    return annotations([Annotation(names, size, tuple(found))])


def _kind(shape: Mapping[str, Any]) -> str:
    return str(shape.get("shape_type") or "polygon")
