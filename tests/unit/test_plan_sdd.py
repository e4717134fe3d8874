"""What smoothed Dirichlet diffusion is told of the data: number of classes, intensities, critical noise level."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sfumato.data.dataset import Dataset, OriginalSize
from sfumato.data.manifest import Case
from sfumato.data.sharpness import Sharpness
from sfumato.data.spec import Intensity, Spec
from sfumato.errors import UsageError
from sfumato.experiment.plan import INTENSITIES, plan_training
from sfumato.recipe import SDDProcess, TaskKind, load_recipe

CASES, SIZE = 50, 8


def dataset() -> Dataset:
    """Plain images from black to white, and masks of three classes with a border of 8 pixels."""
    spec = Spec(
        size=(SIZE, SIZE), channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, "8 bit"),
        mask_classes=("background", "a", "b"), readers=1,
    )  # fmt: skip
    brightness = np.linspace(0, 255, CASES).round().astype(np.uint8)
    images = np.broadcast_to(brightness[:, None, None, None], (CASES, SIZE, SIZE, 1)).copy()
    masks = np.zeros((CASES, 1, SIZE, SIZE), np.uint8)
    masks[:, :, :3] = 2
    cases = [Case(id=str(row), image=f"{row}.png", split="train") for row in range(CASES)]
    return Dataset(spec, cases, [OriginalSize((SIZE, SIZE))] * CASES, images, masks)


def test_only_true_readings_say_how_far_readers_differ() -> None:
    plain = dataset()
    masks = np.full((CASES, 2, SIZE, SIZE), 255, np.uint8)
    masks[:, 0] = plain.masks(range(CASES)).numpy()
    masks[:, 1, :2], masks[:, 1, 2:] = 1, masks[:, 0, 2:]  # they differ on two rows, and the border is one

    def planned_for(several: int) -> float:
        cases = [
            replace(case, masks=("a.png", "b.png") if row < several else ("a.png",))
            for row, case in enumerate(plain.cases)
        ]
        both = Dataset(
            replace(plain.spec, readers=2), cases, [OriginalSize((SIZE, SIZE))] * CASES, plain._images, masks
        )
        recipe, _ = plan_training(load_recipe("segment", settings=["process.kind=sdd"]), both, device="cpu")
        assert isinstance(recipe.process, SDDProcess) and isinstance(recipe.process.critical_log_snr, float)
        return recipe.process.critical_log_snr

    border, differing = round(-math.log(2 * SIZE), 2), round(-math.log(4 * SIZE), 2)
    assert planned_for(1) == border and planned_for(7) == border and planned_for(8) == differing


def test_what_the_size_costs_is_told_beside_it() -> None:
    plain = dataset()
    sharp = Sharpness((SIZE, SIZE), masks=9, dice=0.5, emptied=1, objects=20, lost=3)
    costly = Dataset(
        plain.spec, plain.cases, [OriginalSize((SIZE, SIZE))] * CASES, plain._images, plain._masks, (), sharp
    )
    for data, told in ((costly, [f"as prepared; {sharp.sentence}"]), (plain, [])):
        _, choices = plan_training(load_recipe("segment"), data, device="cpu")
        assert [choice.reason for choice in choices if choice.choice == "data.size"] == told


def planned(task: TaskKind, *settings: str) -> tuple[SDDProcess, set[str]]:
    """The process of the plan, and which choices were made."""
    recipe, choices = plan_training(
        load_recipe(task, settings=["process.kind=sdd", *settings]), dataset(), device="cpu"
    )
    assert isinstance(recipe.process, SDDProcess) and all(choice.reason for choice in choices)
    return recipe.process, {choice.choice for choice in choices if choice.choice.startswith("process.")}


def test_masks_are_counted_and_their_border_measured() -> None:
    process, choices = planned("segment")
    assert process.classes == 3 and process.critical_log_snr == round(-math.log(2 * SIZE), 2)
    assert process.intensities == "auto" and choices == {"process.classes", "process.critical_log_snr"}


def test_intensities_are_quantiles() -> None:
    process, choices = planned("generate")
    assert choices == {"process.intensities"} and len(process.intensities) == INTENSITIES == 32
    expected = (np.arange(32) + 0.5) / 16 - 1
    assert np.abs(np.array(process.intensities) - expected).max() < 0.01, "of uniform intensities"
    assert process.classes == "auto" and process.critical_log_snr is None


def test_what_is_given_is_kept_if_it_fits() -> None:
    process, choices = planned("segment", "process.classes=3", "process.critical_log_snr=-2.5")
    assert process.critical_log_snr == -2.5 and not choices
    assert planned("generate", "process.intensities=[0.25]")[0].intensities == (0.25,)
    with pytest.raises(UsageError, match="classes=5, but the masks have 3"):
        planned("segment", "process.classes=5")
