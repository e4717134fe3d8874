"""`sfumato resume RUN/checkpoints/step-N --out NEW`: a run of its own that goes on from a chosen checkpoint."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.preloaded import Preloaded

from sfumato.commands import info, train
from sfumato.errors import ModelError, UsageError
from sfumato.experiment.run import Run, load_model
from sfumato.provenance import digest, read_provenance
from sfumato.training.checkpoint import MANIFEST, newest

from .test_train import TINY, losses, same_weights

SETTINGS = [
    TINY, "validate={every_steps: 4, cases: 2}", "sample.steps=1", "checkpoint={keep_every_steps: 2, every_steps: 2}",
    "checkpoint.snapshot_every_steps=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(dataset: Path) -> Path:
    """Ten steps in one go, every second one kept; with a twin."""
    run = dataset.parent / "whole"
    train.segment(dataset, out=run, steps=10, batch=4, set=SETTINGS, twin=True)
    return run


def state(run: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def written(run: Path, name: str) -> Any:
    return json.loads((run / name).read_text())


def test_it_ends_with_the_bits_of_its_run_which_is_not_touched(whole: Path, tmp_path: Path) -> None:
    before, out = state(whole), tmp_path / "new"
    checkpoint = whole / "checkpoints" / "step-00000006"
    result = train.resume(checkpoint, out=out)
    assert result["step"] == 10 and result["run"] == str(out)
    assert state(whole) == before
    assert same_weights(out, whole)
    *_, told = [line for line in losses(out).split("}, ") if '"origin"' in line]
    assert losses(out).replace(told + "}, ", "") == losses(whole)
    assert not (out / "twin").exists()
    for folder in ("samples", "snapshots"):
        assert sorted(path.name for path in (out / folder).iterdir()) == sorted(
            path.name for path in (whole / folder).iterdir()
        )
    bests = [newest_best(run) for run in (out, whole)]
    assert bests[0] == bests[1]


def newest_best(run: Path) -> object:
    found = newest(run / "checkpoints")
    assert found is not None
    return found.state["best"]


def test_log_plan_and_provenance_say_where_it_comes_from(whole: Path, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "new", whole / "checkpoints" / "step-00000004"
    train.resume(checkpoint, out=out, until_steps=5)
    origin = {"run": "whole", "step": 4, "sha256": digest(checkpoint / MANIFEST)}
    assert written(out, "run.json")["from"] == read_provenance(out)["origin"] == origin
    assert written(out, "plan.json")[-1]["value"] == "step 4 of whole"
    records = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "train"] == [1, 2, 3, 4, 5]
    assert {"kind": "origin", **{name: origin[name] for name in ("step", "run", "sha256")}} in records
    assert info.info(out)["steps"] == 5
    assert Run(out).recipe.train.steps == 5 and Run(whole).recipe.train.steps == 10


def test_the_same_command_again_goes_on_and_another_one_is_refused(whole: Path, tmp_path: Path) -> None:
    out, checkpoint = tmp_path / "new", whole / "checkpoints" / "step-00000004"
    train.resume(checkpoint, out=out, until_steps=5)
    assert train.resume(checkpoint, out=out, until_steps=7)["step"] == 7
    assert train.resume(out)["step"] == 7
    with pytest.raises(UsageError, match="holds another run"):
        train.resume(whole / "checkpoints" / "step-00000006", out=out)
    with pytest.raises(UsageError, match="overlap"):
        train.resume(checkpoint, out=whole / "new")


def test_without_out_the_remedy_is_told(whole: Path) -> None:
    before = state(whole)
    for name in ("step-00000004", "best"):
        with pytest.raises(UsageError, match="one checkpoint of a run") as error:
            train.resume(whole / "checkpoints" / name)
        assert f"sfumato resume {whole / 'checkpoints' / name} --out NEW" in error.value.remedy
        assert f"sfumato resume {whole}" in error.value.remedy
    with pytest.raises(UsageError, match="no checkpoint step-00000005") as error:
        train.resume(whole / "checkpoints" / "step-00000005", out=whole.parent / "nothing")
    assert "step-00000004" in error.value.expected and "best" in error.value.expected
    with pytest.raises(UsageError, match="holds no run"):
        train.resume(whole / "samples", out=whole.parent / "nothing")
    assert state(whole) == before and not (whole.parent / "nothing").exists()


def test_a_damaged_checkpoint_is_refused_and_nothing_is_left(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    weights = run / "checkpoints" / "step-00000004" / "optimizer.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ModelError, match="bytes instead of"):
        train.resume(weights.parent, out=tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_run_and_its_twin_can_be_taken_along(whole: Path, tmp_path: Path) -> None:
    """Without a chosen checkpoint it is the newest one; a twin that follows is resumed with its new run."""
    out = tmp_path / "new"
    assert train.resume(whole, out=out, until_steps=11)["step"] == 11
    train.resume(whole / "twin" / "checkpoints" / "last", out=out / "twin")
    result = train.resume(out, until_steps=12)
    assert result["step"] == result["twin"]["step"] == 12
    assert Run(whole).recipe.train.steps == 10


def test_a_file_that_names_a_checkpoint_is_a_model(whole: Path, tmp_path: Path) -> None:
    best, folder = whole / "checkpoints" / "best", whole / "checkpoints"
    named = folder / best.read_text().strip()
    assert load_model(best).sha256 == load_model(named).sha256
    assert info.info(best)["step"] == load_model(named).step
    result = train.segment(Run(whole).dataset, out=tmp_path / "run", init=str(best), steps=1, batch=4, set=SETTINGS)
    assert written(tmp_path / "run", "init.json")["sha256"] == load_model(best).sha256 and result["step"] == 1


@pytest.mark.slow
def test_two_processes_go_on_together_and_are_refused_together(
    whole: Path, tmp_path: Path, preloaded: Preloaded
) -> None:
    """From a chosen checkpoint, with the dataset in another place; the first process copies, checks and writes."""
    place, out = shutil.copytree(Run(whole).dataset, tmp_path / "scratch"), tmp_path / "new"
    command = ["resume", whole / "checkpoints" / "step-00000004", "--out", out, "--dataset", place]
    done = preloaded.start(command, processes=2)
    assert done.wait() == 0, done.stderr.read_text()
    ours, theirs = newest(out / "checkpoints"), newest(whole / "checkpoints")
    assert ours is not None and theirs is not None and ours.step == theirs.step == 10
    for name, tensor in theirs.tensors["ema"].items():
        assert tensor.allclose(ours.tensors["ema"][name], atol=1e-5), name
    text = (out / "train.log").read_text()
    assert text.count("start: ") == text.count("resuming ") == 1 and "2 processes" in text
    assert done.stderr.read_text().count("goes on from step 4") == 1 and Run(out).dataset == place
    images = np.load(place / "images.npy")
    images[0, 0, 0] ^= 1
    np.save(place / "images.npy", images)
    before = state(out)
    done = preloaded.start([*command, "--until-steps", "12"], processes=2)
    assert done.wait() != 0 and "other pixels in 1 case: 000000" in (said := done.stderr.read_text())
    assert "process 0 of 2 (counted from 0) failed" in said and state(out) == before


def test_what_a_stranger_laid_into_a_run_is_not_taken_along(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Links out of the run, and a file that a checkpoint does not list."""
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    record = {**Run(whole).record, "dataset": str(Run(whole).dataset)}
    (run / "run.json").write_text(json.dumps(record))
    (tmp_path / "private").write_text("private")
    (run / "samples/step-1.png").symlink_to(tmp_path / "private")
    (run / "samples/step-2.png").symlink_to("/dev/zero")
    (run / "checkpoints/step-00000010/notes").symlink_to(tmp_path / "private")
    train.resume(run, out=tmp_path / "new")
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file() and path.read_bytes() == b"private"]
    assert capsys.readouterr().err.count("is a link and stays behind") == 2
    os.mkfifo(run / "samples/step-3.png")
    with pytest.raises(OSError, match="it is a named pipe, not a file"):
        train.resume(run, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
