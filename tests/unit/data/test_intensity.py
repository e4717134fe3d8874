import numpy as np
import pytest

from sfumato.data.facts import ImageFacts, image_facts
from sfumato.data.intensity import FULL, Intensity, decide_intensity, stored_pixels, window_of
from sfumato.data.statistics import Stats, statistics
from sfumato.errors import DataError

GENERATOR = np.random.default_rng(0)
STATS = Stats(low=-10.0, high=90.0, mean=20.0, std=5.0, inner_low=0.0, inner_high=50.0)


def facts(low: float, high: float, dtype: type = np.uint16) -> ImageFacts:
    return image_facts("a.png", GENERATOR.uniform(low, high, (50, 50, 1)).astype(dtype))


@pytest.mark.parametrize(
    ("rule", "window"),
    [
        (Intensity("window", -5, 5, ""), (-5, 5)),
        (Intensity("percentile", 0.5, 99.5, ""), (0, 50)),
        (Intensity("zscore", -3, 3, ""), (5, 35)),
    ],
)
def test_black_and_white_of_an_image(rule: Intensity, window: tuple[float, float]) -> None:
    assert window_of(rule, STATS) == window
    low, high = window
    pixels = np.array([[[low - 1], [low], [(low + high) / 2], [high], [high + 1]]], np.float32)
    assert stored_pixels(pixels, rule, [STATS])[0, :, 0].tolist() == [0, 0, round(FULL / 2), FULL, FULL]


@pytest.mark.parametrize(("kind", "value"), [("percentile", 0), ("zscore", round(FULL / 2))])
def test_an_image_with_one_value_has_no_strange_numbers(kind: str, value: int) -> None:
    pixels = np.full((4, 4, 1), 7, np.float32)
    rule = decide_intensity([facts(0, 1)], kind=kind)
    assert (stored_pixels(pixels, rule, [statistics(pixels)]) == value).all()


def test_a_picture_that_is_almost_empty_keeps_its_range() -> None:
    pixels = np.zeros((100, 100, 1), np.float32)
    pixels[0, :10] = 500
    window = window_of(Intensity("percentile", 0.5, 99.5, ""), statistics(pixels))
    assert window == (0, 500)


def test_eight_bit_stays_as_it_is() -> None:
    pixels = GENERATOR.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    rule = decide_intensity([image_facts("a.png", pixels)], modality="MR")
    assert rule[:3] == ("unit", 0, 255) and stored_pixels(pixels, rule, [STATS]) is pixels


def test_outliers_do_not_stretch_the_window() -> None:
    images = [facts(1000, 2000) for _ in range(4)]
    outlier = GENERATOR.uniform(1000, 2000, (50, 50, 1)).astype(np.uint16)
    outlier[0, 0] = 65535
    rule = decide_intensity([*images, image_facts("a.png", outlier)])
    assert rule.kind == "window" and 1000 <= rule.low < 1020 and 1980 < rule.high < 2000 and "percentiles" in rule.text
    same = image_facts("a.png", np.full((2, 2, 1), 7, np.uint16))
    assert decide_intensity([same])[:3] == ("window", 7, 8)


@pytest.mark.parametrize(
    ("images", "modality", "kind"),
    [
        ([(0, 1000), (0, 1200)], None, "window"),
        ([(0, 1000)] * 9 + [(0, 60000)], None, "percentile"),
        ([(0, 1000)] * 5 + [(0, 60000)] * 5, "XRAY", "window"),
        ([(0, 1000), (0, 1200)], "MR", "percentile"),
    ],
)
def test_the_rule_follows_modality_and_ranges(
    images: list[tuple[float, float]], modality: str | None, kind: str
) -> None:
    assert decide_intensity([facts(*limits) for limits in images], modality=modality).kind == kind


def test_different_kinds_of_numbers_are_taken_each_by_itself() -> None:
    rule = decide_intensity([facts(0, 250, np.uint8), facts(0, 250, np.float32)])
    assert rule.kind == "percentile" and "different kinds of numbers (float32, uint8)" in rule.text


def test_hounsfield_units_end_where_the_images_do() -> None:
    assert decide_intensity([facts(-3000, 2500, np.int16)], modality="CT")[:3] == ("window", -1000, 1000)
    soft = decide_intensity([facts(-150, 250, np.int16)], modality="CT")
    assert soft.kind == "window" and -150 <= soft.low < -140 and 240 < soft.high <= 250


def test_floats_beyond_one_have_no_full_range() -> None:
    assert decide_intensity([facts(0, 1, np.float32)], kind="unit")[:3] == ("unit", 0, 1)
    assert decide_intensity([facts(0, 1, np.int16)], kind="unit")[:3] == ("unit", -32768, 32767)
    with pytest.raises(DataError, match="fractions from") as caught:
        decide_intensity([facts(0, 2, np.float32)], kind="unit")
    assert caught.value.code == "DATA-025"
