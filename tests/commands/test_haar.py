"""A generator of bands makes images; a stopped run goes on with the same bits; what cannot be is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sfumato.commands import generate as generating
from sfumato.commands import prepare as preparing
from sfumato.commands import train
from sfumato.commands.interpolate import interpolate
from sfumato.commands.reconstruct import reconstruct
from sfumato.data.dataset import Dataset
from sfumato.diffusion.representation import PIXELS, Haar
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.inference import SampleRequest, final_state, make, make_steps
from sfumato.experiment.plan import ROUNDING, plan_training
from sfumato.experiment.run import load_model
from sfumato.header import HEADER_KEY
from sfumato.recipe import load_recipe
from sfumato.reporting.figures import film_pictures
from sfumato.training.weights import load_weights, write_weights
from sfumato.verbs.exchange import export_model

from .conftest import TINY, Make

HAAR = [*TINY, "sample.steps=8", "data.representation=haar", "train.learning_rate=2e-3", "data.augment=none"]
REPEATABLE = [*HAAR, "train.schedule=constant", "validate.every_steps=4", "checkpoint.every_steps=4"]


@pytest.fixture(scope="session")
def haar_run(made_once: Make, dataset: Path) -> Path:
    """200 steps on the toy data."""
    return made_once("haar", lambda folder: train.generate(dataset, out=folder, steps=200, batch=8, set=HAAR))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def test_images_have_the_size_and_the_range_of_the_data(haar_run: Path, dataset: Path, tmp_path: Path) -> None:
    generating.generate(haar_run, out=tmp_path / "out", count=16)
    files = list((tmp_path / "out").rglob("0*.png"))
    made = np.stack([pixels(path) for path in files])
    real = Dataset.open(dataset)
    images = 127.5 * (real.images(real.rows("train")).movedim(1, -1).numpy() + 1)
    assert made.shape == (16, *images.shape[1:])
    assert made.mean((0, 1, 2)) == pytest.approx(images.mean((0, 1, 2)), abs=25), "of each colour"
    assert made.std() == pytest.approx(images.std(), rel=0.5)
    assert (haar_run / "samples" / "step-00000200.png").is_file()


def test_the_film_shows_images_and_ends_in_the_first(
    haar_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = list[list[np.ndarray]]()

    def watched(steps: list[int], *rows: list[np.ndarray]) -> tuple[bytes, bytes]:
        shown.extend(rows)
        return film_pictures(steps, *rows)

    monkeypatch.setattr("sfumato.verbs.generate.film_pictures", watched)
    generating.generate(haar_run, out=tmp_path / "out", count=1)
    (first,) = (tmp_path / "out").rglob("0*.png")
    assert {picture.shape for row in shown for picture in row} == {pixels(first).shape}
    assert np.array_equal(shown[1][-1], pixels(first)), "the last state is the image"


def test_the_bands_of_the_training_images_have_unit_variance(haar_run: Path, dataset: Path) -> None:
    model, real = load_model(haar_run), Dataset.open(dataset)
    images = real.images(real.rows("train"))
    deviations = model.representation.encode(images).transpose(0, 1).flatten(1).std(1)
    assert deviations.numpy() == pytest.approx(np.ones(12), rel=1e-3), "known to four digits"
    chosen = {each["choice"]: each["value"] for each in json.loads((haar_run / "plan.json").read_text())}
    assert tuple(chosen["data.band_deviations"]) == model.recipe.data.band_deviations


def test_the_network_sees_larger_pixels_of_more_channels(haar_run: Path) -> None:
    model = load_model(haar_run)
    (step, *_) = make_steps(model, model.sampler(), [SampleRequest(0, None, 0)])
    assert step.x.shape == (1, 12, 8, 8)
    assert final_state(model, make_steps(model, model.sampler(), [SampleRequest(0, None, 0)])).shape == (1, 3, 16, 16)


def test_estimates_are_clipped_as_pixels(haar_run: Path) -> None:
    """The encoded numbers of images are larger than 1; clipped there, what is drawn would be grey."""
    model = load_model(haar_run)
    steps = list(make_steps(model, model.sampler(), [SampleRequest(k, None, k) for k in range(4)]))
    shown = [model.representation.decode(step.x0) for step in steps]
    assert max(float(each.abs().max()) for each in shown) <= 1 + 1e-5
    assert max(float(step.x0.abs().max()) for step in steps) > 1.5


def test_a_model_file_makes_the_same_images_without_the_data(haar_run: Path, tmp_path: Path) -> None:
    run = load_model(haar_run)
    export_model(haar_run, to="safetensors", out=tmp_path / "model.safetensors")
    alone = load_model(tmp_path / "model.safetensors")
    assert alone.representation == run.representation and isinstance(alone.representation, Haar)
    one, other = ([*make(model, model.sampler(), [SampleRequest(0, None, 3)], batch=1)] for model in (run, alone))
    assert np.array_equal(one[0].image, other[0].image)


def test_a_header_with_other_bands_is_refused(haar_run: Path, tmp_path: Path) -> None:
    export_model(haar_run, to="safetensors", out=tmp_path / "model.safetensors")
    tensors, metadata = load_weights(tmp_path / "model.safetensors")
    about = json.loads(metadata[HEADER_KEY])
    for deviations, finding in (([1.0, 0.5], "2 numbers for 12 channels"), ([], "deviations are not told")):
        about["recipe"]["data"]["band_deviations"] = deviations
        write_weights(tmp_path / "other.safetensors", tensors, {HEADER_KEY: json.dumps(about)})
        with pytest.raises(ModelError, match=finding):
            load_model(tmp_path / "other.safetensors")


def test_a_stopped_run_goes_on_with_the_same_bits(dataset: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.generate(dataset, out=whole, steps=12, batch=4, set=REPEATABLE)
    train.generate(dataset, out=parts, steps=5, batch=4, set=REPEATABLE)
    assert train.resume(parts, until_steps=12)["step"] == 12
    (ours, _), (theirs, _) = (load_weights(newest_weights(run)) for run in (whole, parts))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert load_model(whole).recipe.data == load_model(parts).recipe.data


def newest_weights(run: Path) -> Path:
    return max((run / "checkpoints").glob("step-*/ema.safetensors"))


def test_little_noise_gives_the_image_back(haar_run: Path, dataset: Path, toy: Path, tmp_path: Path) -> None:
    found = reconstruct(haar_run, dataset, out=tmp_path / "near", noise=0.05, count=4)
    assert found["mean_absolute_error"] < 0.02
    ends = tuple(sorted((toy / "images").glob("*.png"))[:2])
    interpolate(haar_run, out=tmp_path / "between", images=(ends[0], ends[1]), noise=0.05, frames=3)
    for number, end in ((0, ends[0]), (2, ends[1])):
        given = np.asarray(Image.open(end).resize((16, 16), Image.Resampling.BOX)).astype(float)
        assert np.abs(pixels(tmp_path / "between" / f"{number:03}.png") - given).mean() < 8


def test_between_seeds_and_two_levels(dataset: Path, tmp_path: Path) -> None:
    train.generate(dataset, out=tmp_path / "run", steps=2, batch=4, set=[*HAAR, "data.levels=2"])
    interpolate(tmp_path / "run", out=tmp_path / "out", seeds="3,7", frames=2)
    assert pixels(tmp_path / "out" / "000.png").shape == (16, 16, 3)
    assert load_model(tmp_path / "run").representation.shape(3, (16, 16)) == (48, 4, 4)
    assert pixels(tmp_path / "run" / "samples" / "step-00000002.png").shape[1] >= 8 * 16, "previews are images"


def test_a_self_conditioned_network_is_shown_bands(dataset: Path, tmp_path: Path) -> None:
    train.generate(dataset, out=tmp_path / "run", steps=2, batch=4, set=[*HAAR, "train.self_condition=0.5"])
    assert load_model(tmp_path / "run").sampler().self_condition == 12


def test_a_band_without_a_picture_is_not_made_large(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    for number in range(12):
        Image.new("L", (16, 16), 20 * number).save(tmp_path / "grey" / f"{number}.png")
    preparing.prepare(tmp_path / "grey", out=tmp_path / "dataset", size="16")
    real = Dataset.open(tmp_path / "dataset")
    recipe, _ = plan_training(load_recipe("generate", settings=["data.representation=haar"]), real, device="cpu")
    coarse, *fine = recipe.data.band_deviations
    assert isinstance(coarse, float) and coarse > 0.5 and fine == pytest.approx([ROUNDING] * 3, rel=1e-3)


def test_sides_that_cannot_be_halved_are_refused_with_those_that_can(toy: Path, tmp_path: Path) -> None:
    preparing.prepare(toy, out=tmp_path / "dataset", size="18x30")
    with pytest.raises(UsageError) as refused:
        train.generate(tmp_path / "dataset", out=tmp_path / "run", steps=1, set=[*HAAR, "data.levels=2"])
    assert "18 x 30 pixels cannot be halved twice" in refused.value.finding
    assert refused.value.expected == "sides that divide by 4, such as 16x28 or 20x32"
    assert refused.value.remedy is not None and "--size 20x32" in refused.value.remedy
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (["data.pairs=joint"], "data.pairs=joint"),
        (["process.kind=sdd"], "process.kind=sdd"),
        (["data.levels=4"], "data.levels"),
    ],
)
def test_what_has_no_bands_is_refused(words: list[str], finding: str) -> None:
    with pytest.raises(UsageError, match=finding):
        load_recipe("generate", settings=["data.representation=haar", *words])


def test_bands_are_for_generators_and_levels_for_bands() -> None:
    with pytest.raises(UsageError, match="not for segment"):
        load_recipe("segment", settings=["data.representation=haar"])
    with pytest.raises(UsageError, match=r"data\.levels would do nothing"):
        load_recipe("generate", settings=["data.levels=2"])
    assert load_recipe("generate").data.representation == "pixels"


def test_a_model_of_pixels_is_no_guide_of_one_of_bands(haar_run: Path, generate_run: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.representation: pixels instead of haar"):
        load_model(haar_run).guidance(load_model(generate_run), guidance=2.0)
    assert load_model(generate_run).representation is PIXELS


def test_noise_shifts_with_the_sides_that_are_diffused() -> None:
    """The coarsest band is an image of half the side, and no larger image needs more noise than its side does."""
    halved = load_recipe("generate", settings=["data.representation=haar", "data.size=[64, 32]"])
    assert halved.data.seen == (32, 16) and math.prod(halved.data.seen) * 4 == 64 * 32


def test_the_deviation_of_the_data_is_measured_in_bands(haar_run: Path, dataset: Path) -> None:
    real = Dataset.open(dataset)
    encoded = load_model(haar_run).representation.encode(real.images(real.rows("train")))
    assert load_model(haar_run).recipe.process.sigma_data == pytest.approx(float(encoded.std()), abs=2e-3)  # type: ignore[union-attr]
