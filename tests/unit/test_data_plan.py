"""How a source is prepared where nobody says: small, in its own size, or as whole volumes; and patches of it."""

from pathlib import Path

import nibabel
import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import DiscoveredDataset, find_cases
from sfumato.errors import UsageError
from sfumato.experiment.data_plan import DataForm, plan_data, plan_patch
from sfumato.experiment.plan import preview
from sfumato.recipe import Recipe, load_recipe


def images(folder: Path, *, width: int, side: int = 160, inverse: bool = False) -> DiscoveredDataset:
    """Masks of lines of a width, or of all but the lines."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(6):
        mask = np.zeros((side, side), np.uint8)
        for start in range(10 + number, side - width, 40):
            mask[:, start : start + width] = 255
        mask = 255 - mask if inverse else mask
        write_image(folder / "images" / f"{number}.png", mask // 2 + 20)
        write_image(folder / "masks" / f"{number}.png", mask)
    return find_cases(folder)


def volumes(folder: Path, *, planes: int = 20, between: float = 1.0) -> DiscoveredDataset:
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
        for number in range(3):
            voxels = np.zeros((24, 20, planes), np.uint8)
            voxels[4:9, 4:9, 2:] = 1 if part == "masks" else 100 + number
            affine = np.diag([1.0, 1.0, between, 1.0])
            nibabel.save(nibabel.Nifti1Image(voxels, affine), folder / part / f"scan_{number}.nii.gz")
    return find_cases(folder)


def recipe(*settings: str, task: str = "segment") -> Recipe:
    return load_recipe(task, settings=settings)  # type: ignore[arg-type]


def test_a_mask_that_blurs_keeps_its_size_and_another_does_not(tmp_path: Path) -> None:
    thin, thick = images(tmp_path / "thin", width=2), images(tmp_path / "thick", width=20)
    form, choices = plan_data(recipe(), thin, device="cpu")
    assert form == DataForm(2, None, None) and "a perfect mask reaches Dice 0." in choices[0].reason
    assert plan_data(recipe(), thick, device="cpu")[0].size == (64, 64)


def test_thin_walls_between_objects_keep_their_size(tmp_path: Path) -> None:
    assert plan_data(recipe(), images(tmp_path / "walls", width=2, inverse=True), device="cpu")[0].size is None


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (["preset=fast"], (64, 64)),
        (["preset=best"], None),
        (["data.size=[32, 48]"], (32, 48)),
        (["data.keep_aspect=true"], (64, 64)),
        (["data.size=native", "preset=fast"], None),
    ],
)
def test_what_is_said_counts(tmp_path: Path, settings: list[str], size: tuple[int, int] | None) -> None:
    found = images(tmp_path / "thin", width=2)
    assert plan_data(recipe(*settings), found, device="cpu")[0].size == size


def test_a_generator_has_images_of_one_size(tmp_path: Path) -> None:
    assert plan_data(recipe(task="generate"), images(tmp_path / "thin", width=2), device="cpu")[0].size == (64, 64)


@pytest.mark.parametrize(
    ("planes", "between", "settings", "dimensions"),
    [
        (20, 1.0, [], 3),
        (15, 1.0, [], 2),
        (20, 3.0, [], 2),
        (20, 3.0, ["data.dimensions=3"], 3),
        (20, 3.0, ["preset=best"], 3),
        (20, 1.0, ["preset=fast"], 2),
        (20, 1.0, ["data.dimensions=2"], 2),
        (20, 1.0, ["data.size=[16, 16]"], 2),
        (20, 1.0, ["data.neighbours=1"], 2),
        (20, 1.0, ["data.keep_empty=0.5"], 2),
    ],
)
def test_volumes_stay_whole(tmp_path: Path, planes: int, between: float, settings: list[str], dimensions: int) -> None:
    found = volumes(tmp_path / "scans", planes=planes, between=between)
    form, choices = plan_data(recipe(*settings), found, device="cpu")
    assert form.dimensions == dimensions
    if dimensions == 3:
        assert form.spacing == (between, 1.0, 1.0) and form.size is None
        assert [choice.choice for choice in choices] == ["data.dimensions", "data.spacing"]


def test_a_spacing_of_ones_own_is_along_every_axis(tmp_path: Path) -> None:
    found = volumes(tmp_path / "scans")
    assert plan_data(recipe("data.spacing=2"), found, device="cpu")[0].spacing == (2.0, 2.0, 2.0)
    assert plan_data(recipe("data.spacing=[3, 2, 1]"), found, device="cpu")[0].spacing == (3.0, 2.0, 1.0)
    with pytest.raises(UsageError, match="rows and columns"):
        plan_data(recipe("data.spacing=[3, 2, 1]", "data.dimensions=2"), found, device="cpu")


def test_a_generator_makes_no_volumes(tmp_path: Path) -> None:
    found = volumes(tmp_path / "scans")
    assert plan_data(recipe(task="generate"), found, device="cpu")[0].dimensions == 2
    with pytest.raises(UsageError, match="makes images"):
        plan_data(recipe("data.dimensions=3", task="generate"), found, device="cpu")


@pytest.mark.parametrize(
    ("median", "device", "patch"),
    [
        ((37.0, 50.5, 36.0), "cpu", (40, 52, 36)),
        ((300.0, 512.0, 512.0), "cpu", (36, 60, 60)),
        ((300.0, 512.0, 512.0), "cuda", (72, 120, 120)),
        ((3.0, 512.0, 512.0), "cpu", (4, 180, 180)),
        ((100.0, 90.0), "cpu", (112, 96)),
        ((1000.0, 90.0), "cpu", (128, 96)),
        ((1000.0, 90.0), "cuda", (256, 96)),
    ],
)
def test_a_patch_has_the_shape_of_the_median(median: tuple[float, ...], device: str, patch: tuple[int, ...]) -> None:
    assert plan_patch(recipe(), median, device=device)[0] == patch


def test_a_preview_tells_of_the_volumes(tmp_path: Path) -> None:
    chosen = {each.choice: each.value for each in preview(recipe(), volumes(tmp_path / "scans"), device="cpu")}
    assert chosen["network.kind"] == "amortised" and chosen["data.patch"] == [20, 20, 24]
    longer = {
        each.choice: each.value
        for each in preview(recipe("preset=best"), images(tmp_path / "i", width=2), device="cpu")
    }
    assert longer["train.minutes"] == 120 and longer["network.channels"] == 64
