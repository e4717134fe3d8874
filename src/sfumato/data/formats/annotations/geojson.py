"""GeoJSON of QuPath: a file for each image, of features that are polygons; rings behind the first are holes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sfumato.data.formats.annotations.shapes import Annotation, Annotations, Shape, annotations, refuse_others, ring

_NO_AREAS = ("Point", "MultiPoint", "LineString", "MultiLineString")
"""Geometries that enclose nothing, and are left out."""

UNCLASSIFIED = "unclassified"


def read_geojson(path: Path, content: Any) -> Annotations:
    """What was drawn on an image; of a feature without a class, it is called unclassified.

    Raises:
        DataError: there are other geometries.
        Exception: whatever a damaged file leads to.
    """
    features = content.get("features", [content]) if isinstance(content, Mapping) else content
    areas = [feature for feature in features if feature["geometry"]["type"] not in _NO_AREAS]
    kinds = [str(feature["geometry"]["type"]) for feature in areas]
    refuse_others(path, [kind for kind in kinds if kind not in ("Polygon", "MultiPolygon")])
    shapes = [shape for feature in areas for shape in _shapes(feature)]
    return annotations([Annotation((path.stem,), None, tuple(shapes))])


def _shapes(feature: Mapping[str, Any]) -> Iterator[Shape]:
    said = (feature.get("properties") or {}).get("classification") or {}
    label = str(said.get("name") or UNCLASSIFIED) if isinstance(said, Mapping) else str(said)
    geometry = feature["geometry"]
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    for polygon in polygons:
        yield Shape(label, tuple(ring([corner[:2] for corner in points]) for points in polygon))
