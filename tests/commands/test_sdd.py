"""Smoothed Dirichlet diffusion from training to results: masks of two and three classes, unsaid pixels, images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.commands.flagged import as_flags

from sfumato.commands import generate as generating
from sfumato.commands import prepare as preparing
from sfumato.commands import segment as segmenting
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.errors import UsageError
from sfumato.experiment.inference import Twin, predict
from sfumato.experiment.run import load_model
from sfumato.recipe import SDDProcess

from .conftest import TINY

SDD = [*TINY, "process.kind=sdd", "sample.steps=2", "train.warmup=1", "validate.cases=2"]


@pytest.fixture(scope="module")
def image(toy: Path) -> Path:
    return next((toy / "images").glob("*.png"))


@pytest.fixture(scope="module")
def masks_run(dataset: Path) -> Path:
    folder = dataset.parent / "sdd-masks"
    train.segment(dataset, out=folder, steps=3, batch=4, set=SDD, twin=True)
    return folder


@pytest.fixture(scope="module")
def images_run(dataset: Path) -> Path:
    folder = dataset.parent / "sdd-images"
    train.generate(dataset, out=folder, steps=3, batch=4, set=SDD)
    return folder


def test_masks(masks_run: Path, image: Path, tmp_path: Path) -> None:
    model = load_model(masks_run)
    assert isinstance(model.recipe.process, SDDProcess)
    assert model.recipe.process.classes == 2 and isinstance(model.recipe.process.critical_log_snr, float)
    result = segmenting.segment(masks_run, image, out=tmp_path / "out", samples=2, save="probability,members,process")
    assert (result["process"], result["sampler"], result["network_calls"]) == ("sdd", "ancestral", 4)
    assert (tmp_path / "out" / "process").is_dir() and len(list((tmp_path / "out" / "members").glob("*.png"))) == 2
    for grid in ("critical", "log_snr"):
        drawn = segmenting.segment(
            masks_run, image, out=tmp_path / grid, sampling=SamplingFlags(grid=grid, steps=3), samples=1
        )
        assert drawn["network_calls"] == 3
    with pytest.raises(UsageError, match=r"ddim is for Gaussian(.|\n)*ancestral"):
        segmenting.segment(masks_run, image, out=tmp_path / "no", sampling=SamplingFlags(sampler="ddim"))


def test_a_warm_start(masks_run: Path, image: Path, tmp_path: Path) -> None:
    result = segmenting.segment(
        masks_run, image, out=tmp_path / "warm", samples=2, sampling=SamplingFlags(steps=3), start="twin"
    )
    assert result["start"] == "twin" and result["network_calls"] == 2 * 3 + 1


@pytest.mark.parametrize("start", ["noise", "twin"])
def test_probabilities_are_float32_and_add_up_to_1(masks_run: Path, dataset: Path, start: str) -> None:
    model, cases = load_model(masks_run), Dataset.open(dataset).cases[:2]
    sampler = model.sampler(steps=2, start=start)
    twin = Twin(model=load_model(masks_run / "twin")) if sampler.warm else None
    for drawn in predict(model, sampler, cases, count=2, seed=0, batch=4, start=twin):
        assert drawn.members.dtype == np.float32 and drawn.members.shape == (2, 2, 16, 16)
        assert drawn.members.min() >= 0 and np.abs(drawn.members.sum(1) - 1).max() < 1e-6
        assert not np.array_equal(drawn.members[0], drawn.members[1])


def test_own_estimates_in_bf16_and_a_resume(dataset: Path, image: Path, tmp_path: Path) -> None:
    """Recycling, self-conditioning and the twin's mask together."""
    run = tmp_path / "run"
    own = ["train.recycle=0.5", "train.self_condition=0.5", "train.precision=bf16", "sample.start=twin"]
    train.segment(dataset, out=run, steps=2, batch=4, set=[*SDD, *own], twin=True)
    train.resume(run, until_steps=4)
    model = load_model(run)
    assert model.step == 4 and model.sampler().self_condition == 2
    result = segmenting.segment(run, image, out=tmp_path / "out", samples=2)
    assert result["start"] == "twin" and result["network_calls"] == 2 * 2 + 1


def labelled(toy: Path, folder: Path) -> Path:
    """The toy's images with masks of three classes that say nothing of a stripe."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    files = sorted((toy / "images").glob("*.png"))[:8]
    for file in files:
        shutil.copy(file, folder / "imagesTr" / f"{file.stem}_0000.png")
        mask = np.zeros((32, 32), np.uint8)
        mask[8:20, 4:14], mask[8:20, 16:28], mask[:3] = 1, 2, 3
        Image.fromarray(mask).save(folder / "labelsTr" / file.name)
    labels = {"background": 0, "left": 1, "right": 2, "ignore": 3}
    told = {"channel_names": {"0": "photo"}, "labels": labels, "numTraining": len(files), "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(told))
    return folder


def test_three_classes_and_unsaid_pixels(toy: Path, image: Path, tmp_path: Path) -> None:
    preparing.prepare(labelled(toy, tmp_path / "labelled"), out=tmp_path / "dataset", size="16")
    spec = Dataset.open(tmp_path / "dataset").spec
    assert len(spec.mask_classes) == 3 and spec.ignore
    run = tmp_path / "run"
    train.segment(tmp_path / "dataset", out=run, steps=3, batch=4, set=SDD)
    losses = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(value) for record in losses for value in record.values() if isinstance(value, float))
    model = load_model(run)
    assert all(weight.isfinite().all() for weight in model.network.state_dict().values())
    assert model.process.channels(3) == (2, 2)
    result = segmenting.segment(run, image, out=tmp_path / "out", samples=2)
    assert len(result["mask_classes"]) == 3
    with pytest.raises(UsageError, match="classes=2, but the masks have 3"):
        train.segment(tmp_path / "dataset", out=tmp_path / "no", steps=1, set=[*SDD, "process.classes=2"])


def test_images(images_run: Path, tmp_path: Path) -> None:
    model = load_model(images_run)
    assert isinstance(model.recipe.process, SDDProcess) and len(model.recipe.process.intensities) == 32
    made = generating.generate(
        images_run,
        out=tmp_path / "out",
        count=3,
        sampling=SamplingFlags(guidance=2.0, grid="karras", steps=3),
    )
    assert made["network_calls"] == 6
    pictures = [np.asarray(Image.open(file)) for file in sorted((tmp_path / "out").glob("*/0*.png"))]
    assert len(pictures) == 3 and all(picture.std() > 0 for picture in pictures)
    for words, finding in (({"sampler": "heun"}, "for Gaussian"), ({"eta": 0.5}, "knows no eta")):
        with pytest.raises(UsageError, match=finding):
            generating.generate(images_run, out=tmp_path / "no", **as_flags(words))


def test_self_conditioned_images_with_the_published_loss(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["process.loss=hkd", "process.smoothing=reference", "loss.uncertainty=true", "train.self_condition=0.5"]
    train.generate(dataset, out=run, steps=2, batch=4, set=[*SDD, *words])
    assert load_model(run).sampler().self_condition == 3
    assert (
        generating.generate(run, out=tmp_path / "out", count=2, sampling=SamplingFlags(guidance=2.0))["network_calls"]
        == 4
    )


def test_the_recipe_of_the_house(dataset: Path, tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "segment-sdd.yaml"
    told = train.segment(dataset, out=tmp_path / "run", recipe=recipe, set=["data.size=[16, 16]"], dry_run=True)
    assert told["cases"] == len(Dataset.open(dataset))
