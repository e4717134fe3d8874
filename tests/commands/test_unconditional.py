"""A generator that is told no classes, trained on a dataset that has them: it knows so, and so do the other verbs."""

import json
import re
from pathlib import Path

import pytest

from sfumato.commands import bench, evaluate_images, info, prepare, prove, train
from sfumato.commands import generate as generating
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.dataset import Dataset
from sfumato.errors import DataError, UsageError
from sfumato.experiment.run import load_model
from sfumato.recipe import load_recipe
from sfumato.reporting.card import model_card

from .conftest import TINY
from .test_train import losses, same_weights

SETTINGS = [*TINY, "sample.steps=2", "validate.every_steps=100", "validate.images=0", "train.schedule=constant"]


@pytest.fixture(scope="module")
def run(dataset: Path) -> Path:
    assert Dataset.open(dataset).spec.classes
    folder = dataset.parent / "unconditional"
    train.generate(dataset, out=folder, cond="none", steps=4, batch=4, set=SETTINGS)
    return folder


@pytest.fixture(scope="module")
def samples(run: Path) -> Path:
    generating.generate(run, out=run.parent / "unconditional-samples", count=12)
    return run.parent / "unconditional-samples"


def test_the_model_knows_that_it_is_unconditional(run: Path, generate_run: Path) -> None:
    model, other = load_model(run), load_model(generate_run)
    assert model.spec.classes == () and other.spec.classes
    assert model.recipe.data.labels == "none"
    parameters = [dict(each.network.named_parameters()) for each in (model, other)]
    assert set(parameters[1]) - set(parameters[0]), "the table of classes"
    assert info.info(run)["model"]["data"]["classes"] == ()
    assert "it was told no class of any image" in model_card(run)


def test_a_class_is_refused_in_words(run: Path, dataset: Path, tmp_path: Path) -> None:
    for asked in ({"class_": "grade 0"}, {"per_class": "grade 0=2"}):
        with pytest.raises(UsageError, match="class grade 0: the model is unconditional"):
            generating.generate(run, out=tmp_path / "out", **asked)
    with pytest.raises(UsageError, match="the model is unconditional") as error:
        generating.generate(run, out=tmp_path / "out", balance=dataset, to=50)
    assert "--cond class" in error.value.remedy
    assert generating.generate(run, out=tmp_path / "out", class_="unconditional", count=2)["images"]
    with pytest.raises(UsageError, match="guidance"):
        generating.generate(run, out=tmp_path / "other", sampling=SamplingFlags(guidance=2.0))


def test_it_goes_on_as_it_was_and_not_otherwise(run: Path, dataset: Path, tmp_path: Path) -> None:
    parts = tmp_path / "run"
    train.generate(dataset, out=parts, cond="none", steps=2, batch=4, set=SETTINGS)
    with pytest.raises(UsageError, match=re.escape("data.labels: none in the run, class now")):
        train.generate(dataset, out=parts, steps=4, batch=4, set=SETTINGS)
    train.generate(dataset, out=parts, steps=3, batch=4, set=[*SETTINGS, "data.labels=none"])
    assert train.resume(parts, until_steps=4)["step"] == 4
    assert same_weights(parts, run)
    ours, theirs = (json.loads(losses(each)) for each in (parts, run))
    assert [each["loss"] for each in ours if "loss" in each] == [each["loss"] for each in theirs if "loss" in each]


def test_it_can_be_measured_and_timed(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfumato.experiment.fewest_steps.STEPS", (2, 3))
    monkeypatch.setattr("sfumato.experiment.fewest_steps.IMAGES_DRAWN", 4)
    assert generating.generate(run, out=tmp_path / "out", sampling=SamplingFlags(steps="auto"), count=2)["images"] == {
        "unconditional": 2
    }
    assert bench.bench("sample", run, seconds=0.05)


def test_its_images_are_compared_and_are_a_dataset_without_classes(
    samples: Path, dataset: Path, tmp_path: Path
) -> None:
    told = evaluate_images.images(samples, dataset, out=tmp_path / "scores", features="pixels", copies=False)
    assert told["generated"] == 12
    prepare.prepare(samples, out=tmp_path / "prepared", size="16")
    assert Dataset.open(tmp_path / "prepared").spec.classes == ()
    with pytest.raises(DataError, match="no class") as error:
        prove.prove(dataset, samples, out=tmp_path / "proof", task="classify")
    assert error.value.code == "SCORE-021"


def test_a_conditional_model_is_a_start(run: Path, generate_run: Path, dataset: Path, tmp_path: Path) -> None:
    for out, start, cond in (("none", generate_run, "none"), ("class", run, "class")):
        train.generate(dataset, out=tmp_path / out, init=str(start), cond=cond, steps=1, batch=4, set=SETTINGS)
    assert load_model(tmp_path / "none").spec.classes == () and load_model(tmp_path / "class").spec.classes


def test_masks_have_no_use_for_it() -> None:
    with pytest.raises(UsageError, match=r"data\.labels=none is for generate"):
        load_recipe("segment", settings=["data.labels=none"])
