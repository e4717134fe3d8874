"""Presets, and what suits which images."""

from typing import get_args

import pytest

from sfumato.data.augmentation.ranges import PRESETS, choose
from sfumato.recipe import Modality


def test_anatomy_is_never_flipped_and_skin_always_may_be() -> None:
    for modality in ("xray", "ct", "mr", "CT"):
        ranges = choose(modality, task="segment").ranges
        assert (ranges.mirror, ranges.upend) == (0, 0) and 0 < ranges.angle <= 15 and ranges.scale and ranges.shift
    for modality in ("photo", "dermoscopy", "microscopy"):
        ranges = choose(modality, task="segment").ranges
        assert (ranges.mirror, ranges.upend, ranges.angle) == (0.5, 0.5, 180)
    assert choose("ct", task="segment").ranges.gamma == 0, "Hounsfield units are absolute"
    assert choose("ultrasound", task="segment").ranges.upend == 0


@pytest.mark.parametrize("modality", ["unknown", "smell", None])
def test_unknown_images_stay_upright(modality: str | None) -> None:
    assert choose(modality, task="segment").ranges == PRESETS["medium"]


def test_generated_images_would_show_augmentation() -> None:
    ranges, reason = choose("photo", task="generate")
    assert ranges == PRESETS["none"] and "non_leaking" in reason


def test_every_word_of_the_recipe_has_its_own_reason() -> None:
    words = set(get_args(Modality)) - {"auto"}
    assert len({choose(word, task="segment").reason for word in words}) == len(words)
