"""Contours beside images are named where there is no mask, and pass where there is one."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.source import Hints, find_cases
from sfumato.errors import DataError

RING = [[1, 1], [9, 1], [9, 9], [1, 1]]
CONTOURS = {
    "COCO": ("all.json", json.dumps({
        "images": [{"id": 1, "file_name": "a0.png", "width": 16, "height": 16}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "polyp"}],
    })),
    "COCO, run lengths": ("all.json", json.dumps({
        "annotations": [{"segmentation": {"counts": [3, 4, 9], "size": [4, 4]}}],
    }, indent=1)),
    "LabelMe": ("a0.json", json.dumps({"shapes": [{"label": "polyp", "points": RING}]}, indent=2)),
    "GeoJSON": ("a0.geojson", json.dumps({
        "type": "FeatureCollection",
        "features": [{"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [RING]}, "properties": {}}],
    })),
    "CVAT": ("annotations.xml", '<annotations><image id="0" name="a0.png">'
             '<polygon label="polyp" points="1,1;9,1;9,9"/></image></annotations>'),
    "LabelMe, XML": ("a0.xml", "<annotation><object><name>polyp</name><polygon><pt><x>1</x><y>1</y></pt></polygon>"
                     "</object></annotation>"),
}  # fmt: skip


def images(folder: Path, *, masks: bool = False) -> Path:
    for number in range(3):
        Image.fromarray(np.full((16, 16), number, np.uint8)).save(folder / f"a{number}.png")
        if masks:
            Image.fromarray(np.eye(16, dtype=np.uint8)).save(folder / f"a{number}_mask.png")
    return folder


@pytest.mark.parametrize("tool", CONTOURS)
def test_contours_without_masks_are_named(tmp_path: Path, tool: str) -> None:
    name, content = CONTOURS[tool]
    (images(tmp_path) / name).write_text(content)
    with pytest.raises(DataError, match=f"contours found, not read: 1 file of {tool.partition(', run')[0]}") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-069" and name in str(caught.value)
    assert len(find_cases(tmp_path, hints=Hints(images_only=True)).cases) == 3


@pytest.mark.parametrize("tool", CONTOURS)
def test_contours_beside_masks_pass(tmp_path: Path, tool: str) -> None:
    name, content = CONTOURS[tool]
    (images(tmp_path, masks=True) / name).write_text(content)
    assert find_cases(tmp_path).has_masks


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
