"""Outlines of annotation tools: read as masks where there are no others, or refused in words."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats.annotations.coco import run_lengths
from sfumato.data.formats.image import read_mask
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

HEIGHT, WIDTH = 12, 16
OUTER, INNER = [[2, 1], [12, 1], [12, 9], [2, 9]], [[4, 3], [7, 3], [7, 6], [4, 6]]
BOX = {"image_id": 8, "category_id": 3, "bbox": [1, 1, 4, 4]}
SPECK = [[5, 4], [6, 4], [6, 5], [5, 5]]


def flat(points: list[list[int]]) -> list[int]:
    return [number for point in points for number in point]


def coco(**more: Any) -> dict[str, Any]:
    """A lesion with a nucleus on it on a0, nothing on a1, an object of two parts on a2."""
    names = [f"a{number}.png" for number in range(3)]
    annotations = [
        (7, 3, [flat(INNER)]),
        (7, 9, [flat(OUTER)]),
        (9, 9, [flat(INNER), flat([[9, 7], [11, 7], [11, 9]])]),
    ]
    return {
        "images": [{"id": 7 + n, "file_name": name, "width": WIDTH, "height": HEIGHT} for n, name in enumerate(names)],
        "categories": [{"id": 9, "name": "lesion"}, {"id": 3, "name": "nucleus"}],
        "annotations": [
            {"image_id": image, "category_id": kind, "segmentation": parts} for image, kind, parts in annotations
        ],
        **more,
    }


def labelme(*shapes: tuple[str, list[list[int]]], **more: Any) -> dict[str, Any]:
    found = [{"label": label, "points": points, "shape_type": "polygon"} for label, points in shapes]
    return {"shapes": found, "imagePath": "..\\img\\x.png", "imageHeight": HEIGHT, "imageWidth": WIDTH, **more}


def feature(label: str, *rings: list[list[int]], kind: str = "Polygon") -> dict[str, Any]:
    coordinates: Any = [[ring] for ring in rings] if kind == "MultiPolygon" else list(rings)
    properties = {"classification": {"name": label}} if label else {}
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def points(ring: list[list[int]]) -> str:
    return ";".join(f"{x}.0,{y}.0" for x, y in ring)


CVAT = f"""<annotations><version>1.1</version>
<image id="0" name="sub/a0.png" width="{WIDTH}" height="{HEIGHT}">
<polygon label="lesion" points="{points(OUTER)}"/><polygon label="nucleus" points="{points(INNER)}"/>
<points label="mark" points="1,1"/></image>
<image id="1" name="a1.png" width="{WIDTH}" height="{HEIGHT}"/>
<image id="2" name="a2.png" width="{WIDTH}" height="{HEIGHT}">
<mask label="lesion" rle="1, 2, 3, 2" left="3" top="5" width="4" height="2"/></image></annotations>"""


def aperio(*layers: tuple[str, list[list[list[int]]]], more: str = "") -> str:
    """Layers with the regions of each."""
    drawn = [
        f'<Annotation Id="{number}" Name="{name}"><Regions>'
        + "".join(
            f'<Region Id="{place}" Type="0" NegativeROA="0"><Vertices>'
            + "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring)
            + "</Vertices></Region>"
            for place, ring in enumerate(rings)
        )
        + f"{more}</Regions></Annotation>"
        for number, (name, rings) in enumerate(layers, start=1)
    ]
    return f'<?xml version="1.0"?>\n<Annotations MicronsPerPixel="0.25">{"".join(drawn)}</Annotations>'


ELLIPSE = '<Region Type="2"><Vertices><Vertex X="1" Y="1"/><Vertex X="5" Y="4"/></Vertices></Region>'
HOLE = '<Region Type="0" NegativeROA="1"><Vertices/></Region>'
VOC = "<annotation><object><name>x</name><bndbox><xmin>1</xmin><ymin>1</ymin></bndbox></object></annotation>"
DDTI = '<case><mark><image>1</image><svg>[{"points": [{"x": 1, "y": 2}, {"x": 3, "y": 2}]}]</svg></mark></case>'
ASAP = '<ASAP_Annotations><Annotation><Coordinate Order="0" X="1" Y="1"/></Annotation></ASAP_Annotations>'

TOOLS: dict[str, Mapping[str, Any]] = {
    "COCO": {"instances.json": coco()},
    "LabelMe": {
        "a0.json": labelme(("nucleus", INNER), ("lesion", OUTER)),
        "a1.json": labelme(),
        "a2.json": labelme(("lesion", INNER)),
    },
    "GeoJSON": {
        "a0.geojson": {"type": "FeatureCollection", "features": [feature("lesion", OUTER), feature("nucleus", INNER)]},
        "a1.png.geojson": {"type": "FeatureCollection", "features": []},
        "a2.geojson": [feature("lesion", INNER, SPECK), feature("lesion", SPECK, kind="MultiPolygon")],
    },
    "CVAT": {"annotations.xml": CVAT},
    "Aperio": {
        "a0.xml": aperio(("nucleus", [INNER]), ("lesion", [OUTER])),
        "a1.xml": aperio(("lesion", [])),
        "a2.xml": aperio(("lesion", [INNER, SPECK])),
    },
}


def images(folder: Path, *, masks: bool = False) -> Path:
    for number in range(3):
        Image.fromarray(np.full((HEIGHT, WIDTH), number, np.uint8)).save(folder / f"a{number}.png")
        if masks:
            Image.fromarray(np.eye(16, dtype=np.uint8)[:HEIGHT]).save(folder / f"a{number}_mask.png")
    return folder


def write(folder: Path, files: Mapping[str, Any]) -> Path:
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return folder


def masks(found: DiscoveredDataset) -> list[np.ndarray]:
    return [read_mask(case.masks[0]) for case in found.cases]


def area(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize("tool", TOOLS)
def test_outlines_are_masks(tmp_path: Path, tool: str) -> None:
    """Of a0 the same by each tool: corners lie between pixels, the smaller object is on top."""
    found = find_cases(write(images(tmp_path), TOOLS[tool]))
    assert dict(found.mask_names) == {0: "background", 1: "lesion", 2: "nucleus"}
    first, second, third = masks(found)
    assert np.array_equal(first, area(2, 1, 12, 9) + area(4, 3, 7, 6)) and not second.any()
    if tool == "LabelMe":
        assert np.array_equal(third, area(4, 3, 7, 6))
    count = len(TOOLS[tool])
    told = f"outlines ({count} file{'s' * (count > 1)} of {tool}), read as masks: "
    assert any(note.startswith(told) and "of 2 classes in 2 images, none in 1" in note for note in found.notes)
    assert not any("not used" in note or "not read" in note for note in found.notes)
    chosen = find_cases(tmp_path, hints=ReadOptions(class_names=("nucleus",)))
    assert (
        np.array_equal(masks(chosen)[0], area(4, 3, 7, 6)) and "labels of other names, not used: lesion" in chosen.notes
    )
    with pytest.raises(DataError, match="no region is called liver"):
        find_cases(tmp_path, hints=ReadOptions(class_names=("liver",)))
    assert len(find_cases(tmp_path, hints=ReadOptions(images_only=True)).cases) == 3


def test_parts_holes_and_runs(tmp_path: Path) -> None:
    """A COCO object of two polygons; a hole of GeoJSON that a further object fills; runs of CVAT go along the rows."""
    (tmp_path / "1").mkdir()
    triangle = np.zeros((HEIGHT, WIDTH), np.uint8)
    triangle[7, 9:11], triangle[8, 10] = 1, 1
    assert np.array_equal(
        masks(find_cases(write(images(tmp_path / "1"), TOOLS["COCO"])))[2], area(4, 3, 7, 6) + triangle
    )
    (tmp_path / "2").mkdir()
    assert np.array_equal(masks(find_cases(write(images(tmp_path / "2"), TOOLS["GeoJSON"])))[2], area(4, 3, 7, 6))
    (tmp_path / "3").mkdir()
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[5:7, 3:7] = [[0, 1, 1, 0], [0, 0, 1, 1]]
    assert np.array_equal(masks(find_cases(write(images(tmp_path / "3"), TOOLS["CVAT"])))[2], expected)


def test_corners_are_counted_from_the_corner_of_the_first_pixel(tmp_path: Path) -> None:
    """The centre of pixel 2 is 2.5: it lies between 2.4 and 5.6, as those of 3, 4 and 5 do."""
    corners = [2.4, 1.6, 5.6, 1.6, 5.6, 4.4, 2.4, 4.4]
    item = {"image_id": 7, "category_id": 9, "segmentation": [corners]}
    found = find_cases(write(images(tmp_path), {"all.json": coco(annotations=[item])}))
    assert np.array_equal(masks(found)[0], area(2, 2, 6, 4))


def test_runs_of_coco_go_down_the_columns(tmp_path: Path) -> None:
    drawn = area(2, 1, 5, 9)
    flips = np.flatnonzero(np.diff(drawn.T.ravel(), prepend=0, append=0)).tolist()
    counts = np.diff([0, *flips, drawn.size]).tolist()
    item = {"image_id": 7, "category_id": 9, "segmentation": {"size": [HEIGHT, WIDTH], "counts": counts}}
    found = find_cases(write(images(tmp_path), {"all.json": coco(annotations=[item])}))
    assert np.array_equal(masks(found)[0], drawn)


@pytest.mark.parametrize(
    ("size", "packed", "disc"),
    [
        ((40, 50), "Pg05P16K4M2N2N2O0O2O000O2O00000001N10001N101N2N2N3L5J[8", (18, 30, 150)),
        ((7, 9), "021O0010O141MNO011OO01011NO0021OOO00023", None),
    ],
)
def test_packed_runs_as_pycocotools_writes_them(
    size: tuple[int, int], packed: str, disc: tuple[int, int, int] | None
) -> None:
    """Made by `pycocotools.mask.encode` 2.0.11."""
    counts = list(run_lengths(packed))
    assert sum(counts) == size[0] * size[1] and min(counts) >= 0
    pixels = np.repeat(np.arange(len(counts)) % 2, counts).reshape(size[::-1]).T
    if disc is None:
        assert pixels.sum() == 32
    else:
        rows, columns = np.mgrid[: size[0], : size[1]]
        row, column, radius = disc
        assert np.array_equal(pixels, (rows - row) ** 2 + (columns - column) ** 2 < radius)


def test_other_files_beside_outlines_pass(tmp_path: Path) -> None:
    """Metadata in JSON is no file of the tool, and images in folders are found by their names."""
    (tmp_path / "images").mkdir()
    images(tmp_path / "images")
    write(tmp_path, {"instances.json": coco(), "info.json": {"annotator": "x"}})
    assert len(masks(find_cases(tmp_path))) == 3


@pytest.mark.parametrize(
    ("files", "code", "words"),
    [
        ({"all.json": coco(images=coco()["images"][:2], annotations=coco()["annotations"][:2])}, "DATA-010", "a2.png"),
        (
            {"all.json": coco(images=[*coco()["images"], {**coco()["images"][0], "file_name": "b.png", "id": 99}])},
            "DATA-010",
            "all.json: b.png",
        ),
        (
            {
                "all.json": coco(
                    annotations=[*coco()["annotations"], {"image_id": 8, "category_id": 3, "bbox": [1, 1, 4, 4]}]
                )
            },
            "DATA-069",
            "box (1)",
        ),
        ({"train.json": coco(), "val.json": coco()}, "DATA-011", "train.json and val.json"),
        (
            {"a.xml": CVAT.replace("<mask", '<box label="lesion" xtl="1" ytl="1" xbr="3" ybr="3"/><mask')},
            "DATA-069",
            "box",
        ),
        ({"a.xml": CVAT.replace("1, 2, 3, 2", "1, 2, 3, 9")}, "DATA-006", "a.xml"),
        ({"a.xml": f"<!DOCTYPE x [<!ENTITY y 'z'>]>{CVAT}"}, "DATA-006", "a.xml"),
        ({"all.json": json.dumps(coco(), indent=1)[:-40]}, "DATA-006", "all.json"),
        (
            {
                "a0.json": labelme(("lesion", OUTER)),
                "a1.json": {**labelme(), "shapes": [{"label": "x", "points": INNER[:2], "shape_type": "rectangle"}]},
            },
            "DATA-069",
            "rectangle (1)",
        ),
        (
            {"a0.xml": "<annotation><object><polygon><pt><x>1</x><y>1</y></pt></polygon></object></annotation>"},
            "DATA-069",
            "contours found, not read: 1 file of LabelMe-XML",
        ),
        (
            {"a0.xml": DDTI, "a1.xml": DDTI.replace("<svg>", "<x>")},
            "DATA-069",
            "not read: 2 files of points within XML",
        ),
        ({"a0.xml": ASAP}, "DATA-069", "not read: 1 file of ASAP"),
        ({"a0.xml": aperio(("x", [OUTER]), more=ELLIPSE)}, "DATA-069", "ellipse (1)"),
        ({"a0.xml": aperio(("x", [OUTER]), more=HOLE)}, "DATA-069", "region cut out of another (1)"),
        ({f"a{n}.xml": aperio(("x", [[[64, 9], [90, 9], [90, 64]]])) for n in range(3)}, "DATA-012", "a0.xml"),
    ],
)
def test_what_is_not_read_is_refused(tmp_path: Path, files: Mapping[str, Any], code: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        find_cases(write(images(tmp_path), files))
    assert caught.value.code == code and words in str(caught.value), str(caught.value)


def test_what_has_no_partner_is_left_out_on_request(tmp_path: Path) -> None:
    some = coco(images=coco()["images"][:2], annotations=coco()["annotations"][:2])
    found = find_cases(write(images(tmp_path), {"all.json": some}), hints=ReadOptions(drop_unpaired=True))
    assert [case.id for case in found.cases] == ["a0", "a1"] and len(found.unpaired) == 1


@pytest.mark.parametrize("tool", TOOLS)
def test_contours_beside_masks_pass(tmp_path: Path, tool: str) -> None:
    found = find_cases(write(images(tmp_path, masks=True), TOOLS[tool]))
    assert found.has_masks and all(case.masks[0].endswith("_mask.png") for case in found.cases)


@pytest.mark.parametrize(
    "content",
    [
        {"meta": {"clinical": {"benign_malignant": "benign"}}},
        {"images": [{"id": 1}], "annotations": [{"image_id": 1, "category_id": 2}], "categories": []},
        {"shapes": [], "imagePath": "a0.png"},
        {"annotations": [{"segmentation": []}]},
    ],
)
def test_other_json_passes(tmp_path: Path, content: object) -> None:
    (images(tmp_path) / "a0.json").write_text(json.dumps(content))
    assert len(find_cases(tmp_path).cases) == 3


def test_boxes_are_no_masks_which_is_told(tmp_path: Path) -> None:
    found = find_cases(write(images(tmp_path), {f"a{number}.xml": VOC for number in range(3)}))
    assert not found.has_masks
    assert any(note == "boxes are no masks, and are not used: 3 files of Pascal VOC" for note in found.notes)


def test_a_layer_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    found = find_cases(write(images(tmp_path), {f"a{number}.xml": aperio(("", [OUTER])) for number in range(3)}))
    assert dict(found.mask_names) == {0: "background", 1: "layer 1"}
