import json

import numpy as np
import pytest

from sfumato.data.mask import IGNORED, MaskRule, count_values, decide_mask_rule, named_mask_rule
from sfumato.errors import DataError


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ((0, 255), (0, 1)),
        ((0, 1), (0, 1)),
        ((1, 2), (0, 1)),
        ((0,), (0,)),
        ((255,), (1,)),
        ((0, 1, 2, 3), (0, 1, 2, 3)),
        ((0, 1, 3), (0, 1, 3)),
        ((1, 2, 3), (1, 2, 3)),
        ((0, 128, 255), (0, 1, 2)),
        ((0, 38, 75), (0, 1, 2)),
    ],
)
def test_stored_values_become_classes(values: tuple[int, ...], classes: tuple[int, ...]) -> None:
    rule = decide_mask_rule(dict.fromkeys(values, 10))
    assert tuple(rule.apply(np.array([values]))[0]) == classes
    assert MaskRule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule


def test_soft_edges_and_jpeg_noise_are_cut_at_the_middle() -> None:
    counts = {0: 1000, 255: 500, **dict.fromkeys(range(1, 255), 1)}
    rule = decide_mask_rule(counts)
    assert rule.apply(np.array([[0, 127, 128, 255]])).tolist() == [[0, 0, 1, 1]]
    assert "257" not in rule.text and "256 values" in rule.text


def test_object_numbers_are_no_classes() -> None:
    with pytest.raises(DataError, match="numbers of objects"):
        decide_mask_rule({0: 100_000, **dict.fromkeys(range(1, 256), 50)})


def test_a_value_of_no_class_is_refused_with_its_place() -> None:
    rule = decide_mask_rule({0: 1, 1: 1, 2: 1})
    with pytest.raises(DataError, match=r"value 7 \(row 1, column 2\); 1 pixels"):
        rule.apply(np.array([[0, 1, 2], [0, 0, 7]]))


def test_values_are_counted() -> None:
    assert count_values(np.array([[0, 255], [255, 255]], np.uint8)) == {0: 1, 255: 3}
    assert count_values(np.array([[0, 9], [300, 9]], np.uint16)) == {0: 1, 9: 2, 300: 1}
    assert count_values(np.array([[0, 9], [30, 9]], np.uint8)) == {0: 1, 9: 2, 30: 1}
    assert count_values(np.full((2, 2), 7, np.uint8)) == {7: 4}


def test_names_fix_the_values() -> None:
    rule = named_mask_rule({2: "lesion", 5: "vessel"}, ignore=9)
    assert rule.values == (0, 2, 5) and "0 is background, 2 is lesion, 5 is vessel; 9 says nothing" in rule.text
    for dtype in (np.uint8, np.int32):
        assert rule.apply(np.array([[0, 2, 5, 9]], dtype)).tolist() == [[0, 1, 2, IGNORED]]
        with pytest.raises(DataError, match=r"value 1 \(row 0, column 1\); 1 pixels"):
            rule.apply(np.array([[0, 1, 9]], dtype))
    assert MaskRule.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    with pytest.raises(DataError, match="300 classes"):
        named_mask_rule({value: str(value) for value in range(300)})


def test_pixels_that_say_nothing_are_no_class_and_no_object() -> None:
    rule = decide_mask_rule({0: 5, 255: 5, 100: 3}, ignore=100)
    assert rule.values == (0, 255) and rule.ignore == 100
    assert rule.shows_object({0: 1, 255: 1}) and not rule.shows_object({0: 1, 100: 7})


def test_values_of_an_atlas_are_named_by_the_flag_that_is_told() -> None:
    with pytest.raises(DataError) as caught:
        decide_mask_rule(dict.fromkeys((0, *range(21, 41), 181), 9))
    assert "--class-names 21=class21,22=class22," in (caught.value.remedy or "")
    with pytest.raises(DataError) as caught:
        decide_mask_rule(dict.fromkeys(range(0, 300, 3), 9))
    assert "--class-names" not in (caught.value.remedy or "")
