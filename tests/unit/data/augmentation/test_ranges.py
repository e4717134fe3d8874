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


def test_patches_get_more_and_nothing_of_it_reaches_whole_images() -> None:
    for modality in (*get_args(Modality), None):
        whole, patch = choose(modality, task="segment"), choose(modality, task="segment", patches=True)
        more = {name for name in patch.ranges._fields if getattr(patch.ranges, name) != getattr(whole.ranges, name)}
        assert "low_resolution" in more and more <= {"low_resolution", "tilt", "bias_field", "flip_depth"}
        assert not any(getattr(whole.ranges, name) for name in more)
        assert patch.reason.startswith(whole.reason) and len(patch.reason) > len(whole.reason)
        assert (patch.ranges.bias_field > 0) == (modality == "mr") and (patch.ranges.tilt > 0) == (
            modality in {"ct", "mr"}
        )
    assert choose("photo", task="generate", patches=True).ranges == PRESETS["none"]
