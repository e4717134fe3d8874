"""A run goes on with its dataset in another place, if the content is the same; the twin, trials and --init as well."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from sfumato.commands import audit, train, tune
from sfumato.commands.flags.source import SourceFlags
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.run import Run
from sfumato.local import recalled

from .test_train import TINY, same_weights

SETTINGS = [TINY, "validate={every_steps: 100, cases: 2}", "sample.steps=1", "train.schedule=constant"]


def moved(dataset: Path, place: Path) -> Path:
    """The dataset on the scratch disk of another job; the former one is gone."""
    if dataset.name == "scratch":
        shutil.move(dataset, place / "scratch")
        return place / "scratch"
    return shutil.copytree(dataset, place / "scratch")


@pytest.fixture(scope="module")
def staying(dataset: Path) -> Path:
    """A run whose dataset stays where it is."""
    run = dataset.parent / "staying"
    train.segment(dataset, out=run, steps=5, batch=4, set=SETTINGS, twin=True)
    return run


def test_the_same_command_and_resume_go_on_in_another_place(dataset: Path, staying: Path, tmp_path: Path) -> None:
    """The same bits as with a dataset that stayed; the twin goes along, and both know the new place."""
    run, place = tmp_path / "run", moved(dataset, tmp_path / "job1")
    train.segment(place, out=run, steps=2, batch=4, set=SETTINGS, twin=True)
    place = moved(place, tmp_path / "job2")
    train.segment(place, out=run, steps=3, batch=4, set=SETTINGS, twin=True)
    assert Run(run).dataset == Run(run).control("twin").dataset == place
    place = moved(place, tmp_path / "job3")
    with pytest.raises(UsageError, match="no longer at") as error:
        train.resume(run, until_steps=5)
    assert f"sfumato resume {run} --dataset FOLDER" in error.value.remedy
    with pytest.raises(UsageError, match="no longer at"):
        audit.audit(run, out=tmp_path / "audit")
    result = train.resume(run, until_steps=5, dataset=place)
    assert result["step"] == result["twin"]["step"] == 5
    assert same_weights(run, staying) and same_weights(run / "twin", staying / "twin")
    assert Run(run).dataset == Run(run).control("twin").dataset == place
    assert train.resume(run)["step"] == 5, "it knows its place again"


def test_another_content_is_refused_in_words(dataset: Path, tmp_path: Path) -> None:
    run, place = tmp_path / "run", moved(dataset, tmp_path / "job1")
    train.segment(place, out=run, steps=1, batch=4, set=SETTINGS)
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    images = np.load(place / "images.npy")
    images[4, 0, 0] ^= 1
    np.save(place / "images.npy", images)
    for again in (
        lambda: train.segment(place, out=run, steps=2, batch=4, set=SETTINGS),
        lambda: train.resume(run, until_steps=2),
        lambda: train.resume(run, until_steps=2, dataset=place),
    ):
        with pytest.raises(UsageError, match="other pixels in 1 case: 000004"):
            again()
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()} == before
    assert train.resume(run, until_steps=2, dataset=dataset)["step"] == 2


def test_a_run_moves_with_its_own_dataset_and_its_twin(toy: Path, tmp_path: Path) -> None:
    run = tmp_path / "here" / "run"
    settings = [*SETTINGS, "data.size=[16, 16]"]
    train.segment(toy, out=run, steps=1, batch=4, set=settings, twin=True)
    (tmp_path / "here").rename(tmp_path / "there")
    run = tmp_path / "there" / "run"
    result = train.resume(run, until_steps=2)
    assert result["step"] == result["twin"]["step"] == 2
    assert Run(run).dataset == Run(run).control("twin").dataset == run / "dataset"


def test_files_beside_the_source_may_lie_in_another_folder(toy: Path, tmp_path: Path) -> None:
    run, masks = tmp_path / "run", tmp_path / "job1" / "masks"
    shutil.copytree(toy / "masks" / "reader_0", masks)
    shutil.copytree(toy / "images", images := tmp_path / "images")
    words = {"out": run, "batch": 4, "set": [*SETTINGS, "data.size=[16, 16]"]}
    train.segment(images, flags=SourceFlags(masks=masks), steps=1, **words)
    (tmp_path / "job1").rename(tmp_path / "job2")
    masks = tmp_path / "job2" / "masks"
    assert train.segment(images, flags=SourceFlags(masks=masks), steps=2, **words)["step"] == 2
    with pytest.raises(UsageError, match=r"data\.source\.masks: masks in the run, outlines now"):
        train.segment(images, flags=SourceFlags(masks=tmp_path / "outlines"), steps=3, **words)


def test_the_model_of_init_may_lie_elsewhere(dataset: Path, staying: Path, tmp_path: Path) -> None:
    """It is read again only while the run has no checkpoint; a model of other weights is refused."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    shutil.copy(Run(staying).weights(), first)
    run, words = tmp_path / "run", {"batch": 4, "set": SETTINGS}
    train.segment(dataset, out=run, init=str(first), steps=1, **words)
    first.rename(second)
    assert train.segment(dataset, out=run, init=str(second), steps=2, **words)["step"] == 2
    record = json.loads((run / "init.json").read_text())
    assert recalled(record["model"], run) == second and record["matched"]["count"] > 0
    with pytest.raises(UsageError, match=f"was started from {second}"):
        train.segment(dataset, out=run, init=str(staying / "twin"), steps=3, **words)
    second.unlink()
    assert train.resume(run, until_steps=3)["step"] == 3, "its own checkpoint is enough"
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(ModelError, match="is no longer there") as error:
        train.resume(run, until_steps=3)
    assert "--init" in error.value.remedy


def test_a_study_goes_on_in_another_place_and_only_with_the_same_cases(dataset: Path, tmp_path: Path) -> None:
    study, place = tmp_path / "study", moved(dataset, tmp_path / "job1")
    words = {"out": study, "steps_per_trial": 2, "set": [*SETTINGS, "train.batch=4"]}
    tune.segment(place, trials=1, **words)
    place = moved(place, tmp_path / "job2")
    assert tune.segment(place, trials=2, **words)["complete"] == 2
    trial = Run(study / "trial-0000")
    with pytest.raises(UsageError, match="no longer at"):
        train.resume(trial.folder, until_steps=3)
    assert train.resume(trial.folder, until_steps=3, dataset=place)["step"] == 3
    masks = np.load(place / "masks.npy")
    masks[0, 0, 0, 0] ^= 1
    np.save(place / "masks.npy", masks)
    with pytest.raises(UsageError, match="holds a study with another cases"):
        tune.segment(place, trials=3, **words)
