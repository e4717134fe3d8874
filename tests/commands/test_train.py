"""Training as a command: the same command resumes, changes are refused, a killed run goes on with the same bits."""

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.commands.conftest import Make
from tests.preloaded import Preloaded, Started

from sfumato.commands import prepare as preparing
from sfumato.commands import train, tune
from sfumato.data.dataset import Dataset
from sfumato.errors import DataError, UsageError
from sfumato.experiment.run import Run, load_model
from sfumato.experiment.run_training import training
from sfumato.recipe import load_recipe
from sfumato.training.checkpoint import newest

TINY = "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}"
REPEATABLE = [TINY, "validate.every_steps=7", "validate.cases=2", "sample.steps=2", "checkpoint.every_steps=3"]
KILLS = 10


def same_weights(run: Path, reference: Path) -> bool:
    """Whether the newest checkpoints of two runs hold the same bits: weights, averages, optimiser."""
    ours, theirs = newest(run / "checkpoints"), newest(reference / "checkpoints")
    assert ours is not None and theirs is not None and ours.step == theirs.step
    return all(
        tensor.equal(ours.tensors[stem][name])
        for stem, group in theirs.tensors.items()
        for name, tensor in group.items()
    )


def losses(run: Path) -> str:
    """The log without the clock."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return json.dumps([{key: value for key, value in record.items() if key != "seconds"} for record in records])


@pytest.fixture(scope="session")
def uninterrupted(made_once: Make, dataset: Path) -> Path:
    return made_once("uninterrupted", lambda run: train.segment(dataset, out=run, steps=40, batch=4, set=REPEATABLE))


def test_ten_sigkills_at_random_moments_change_no_bit(
    dataset: Path, uninterrupted: Path, preloaded: Preloaded, tmp_path: Path
) -> None:
    """The same command again and again, killed at random moments, ends with the weights of an uninterrupted run."""
    run, moments = tmp_path / "run", random.Random(3)
    settings = [word for setting in REPEATABLE for word in ("--set", setting)]
    command = ["train", "segment", dataset, "--out", run, "--steps", 40, "--batch", 4, *settings]
    left_at = []
    for _ in range(KILLS):
        goal = (left_at[-1] if left_at else 0) + moments.randint(0, 8)
        process = preloaded.start(command)
        wait_for_step(process, run / "log.jsonl", goal, patience=moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "finished before it was killed"
        left = newest(run / "checkpoints")
        left_at.append(left.step if left else 0)
    finished = preloaded.start(command)
    assert finished.wait() == 0, finished.stderr.read_text()
    assert len(set(left_at)) >= 4, f"the kills hit too few states: {left_at}"
    assert same_weights(run, uninterrupted)
    assert losses(run) == losses(uninterrupted)
    assert not [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]


def wait_for_step(process: Started, log: Path, goal: int, *, patience: float) -> None:
    """Wait until the log tells of step `goal` or the process ends, and a little longer."""
    while process.poll() is None and not (log.exists() and f'"step": {goal},'.encode() in log.read_bytes()):
        time.sleep(0.005)
        if goal == 0:
            break
    time.sleep(patience)


def test_resume_extends_a_finished_run(uninterrupted: Path, dataset: Path, tmp_path: Path) -> None:
    """Constant learning rate: 20 steps, then resumed to 40, are 40 steps in one go."""
    settings = [*REPEATABLE, "train.schedule=constant"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.segment(dataset, out=whole, steps=20, batch=4, set=settings)
    train.segment(dataset, out=parts, steps=9, batch=4, set=settings)
    result = train.resume(parts, until_steps=20)
    assert result["step"] == 20 and same_weights(parts, whole)


def test_length_and_cadences_in_epochs(dataset: Path, tmp_path: Path) -> None:
    """What is counted in epochs is the same run as one that is counted in steps, also when it is extended."""
    count = len(Dataset.open(dataset).rows("train"))
    assert count == 17, "4 epochs are 68 images, of 4 in a step"
    settings = [TINY, "validate.cases=2", "sample.steps=1", "train.schedule=constant", "checkpoint.keep_every_steps=4"]
    settings += ["checkpoint.every_steps=4", "validate.every_steps=9"]
    by_steps, by_epochs = tmp_path / "steps", tmp_path / "epochs"
    train.segment(dataset, out=by_steps, steps=17, batch=4, set=settings)
    settings = [setting.replace("every_steps=4", f"every_epochs={16 / count}") for setting in settings]
    settings = [setting.replace("every_steps=9", f"every_epochs={36 / count}") for setting in settings]
    result = train.segment(dataset, out=by_epochs, epochs=2, batch=4, set=settings)
    assert result["step"] == 9
    result = train.resume(by_epochs, until_epochs=4)
    assert result["step"] == 17 and same_weights(by_epochs, by_steps) and losses(by_epochs) == losses(by_steps)
    folders = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (by_epochs, by_steps)]
    assert "step-00000009" in folders[0]
    assert [name for name in folders[0] if name != "step-00000009"] == [
        name for name in folders[1] if name != "step-00000009"
    ]
    plan = (by_epochs / "plan.json").read_text()
    assert "2 epochs of 17 training images" in plan


def test_resume_extends_the_twin_too(dataset: Path, tmp_path: Path) -> None:
    settings = [*REPEATABLE, "train.schedule=constant"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.segment(dataset, out=whole, steps=8, batch=4, set=settings, twin=True)
    train.segment(dataset, out=parts, steps=4, batch=4, set=settings, twin=True)
    result = train.resume(parts, until_steps=8)
    assert result["step"] == result["twin"]["step"] == 8
    assert same_weights(parts, whole) and same_weights(parts / "twin", whole / "twin")
    assert not same_weights(parts, parts / "twin")


def test_every_validation_leaves_a_picture(uninterrupted: Path) -> None:
    pictures = sorted(file.name for file in (uninterrupted / "samples").glob("step-*.png"))
    assert pictures == [f"step-{step:08d}.png" for step in (7, 14, 21, 28, 35, 40)]


def test_the_same_command_again_does_nothing_more(uninterrupted: Path, dataset: Path) -> None:
    before = newest(uninterrupted / "checkpoints")
    result = train.segment(dataset, out=uninterrupted, steps=40, batch=4, set=REPEATABLE)
    after = newest(uninterrupted / "checkpoints")
    assert result["step"] == 40 and before is not None and after is not None and before.path == after.path


def test_other_settings_in_the_same_folder_are_refused(uninterrupted: Path, dataset: Path) -> None:
    before = (uninterrupted / "recipe.yaml").read_text()
    with pytest.raises(UsageError, match=r"train\.learning_rate: 0\.0003 in the run, 0\.01 now"):
        train.segment(dataset, out=uninterrupted, steps=40, batch=4, set=[*REPEATABLE, "train.learning_rate=0.01"])
    assert (uninterrupted / "recipe.yaml").read_text() == before


def test_grey_is_asked_for_before_a_set_is_prepared(toy: Path, dataset: Path, tmp_path: Path) -> None:
    assert (
        preparing.prepare(toy, out=tmp_path / "grey", size="24", preparation=preparing.PreparationFlags(grey=True))[
            "channels"
        ]
        == 1
    )
    with pytest.raises(UsageError, match=r"data\.grey: False in the data set, True now"):
        train.generate(dataset, out=tmp_path / "run", steps=1, set=["data.grey=true"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_exits_75(
    dataset: Path, preloaded: Preloaded, tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    settings = ["--set", TINY, "--set", "validate.every_steps=90000"]
    process = preloaded.start(["train", "segment", dataset, "--out", run, "--steps", 100_000, "--batch", 4, *settings])
    wait_for_step(process, run / "log.jsonl", 3, patience=0)
    process.send_signal(number)
    assert process.wait() == 75
    left = newest(run / "checkpoints")
    assert left is not None and left.step >= 3
    assert len((run / "log.jsonl").read_bytes().splitlines()) == left.step


def test_a_run_says_how_it_was_made(uninterrupted: Path) -> None:
    model = load_model(uninterrupted)
    assert model.recipe.train.steps == 40 and model.spec.mask_classes[0] == "background"
    assert "critical_log_snr" in (uninterrupted / "plan.json").read_text()


def test_presets_and_examples_are_valid() -> None:
    folder = Path(__file__).parents[2] / "recipes"
    files = sorted(folder.glob("*.yaml"))
    assert files
    for file in files:
        task = "generate" if file.name.startswith("generate") else "segment"
        assert load_recipe(task, file).task == task


@pytest.mark.parametrize("allowed", [0, 1])
def test_nan_is_passed_over_or_stops_with_everything_saved(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    from sfumato.tasks.segment import Segment
    from sfumato.training.loop import Diverged

    real = Segment.loss

    def poisoned(self: Segment, network, batch):  # type: ignore[no-untyped-def]
        terms = real(self, network, batch)
        return {**terms, "loss": terms["loss"] * (float("nan") if batch.step in (5, 7)[: allowed + 1] else 1.0)}

    monkeypatch.setattr(Segment, "loss", poisoned)
    run = tmp_path / "run"
    with pytest.raises(Diverged, match=f"step {(5, 7)[allowed]}"):
        train.segment(dataset, out=run, steps=40, batch=4, set=[*REPEATABLE, f"train.bad_steps={allowed}"])
    left = newest(run / "checkpoints")
    assert left is not None and left.step == (5, 7)[allowed]
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    passed_over = [record for record in records if record["kind"] == "skipped"]
    assert [record["step"] for record in passed_over] == left.state["skipped"] == [6][:allowed]
    assert all(record["cases"] for record in passed_over)
    assert all(tensor.isfinite().all() for tensor in left.tensors["model"].values())


@pytest.mark.slow
def test_two_processes_are_the_same_run_as_one(
    uninterrupted: Path, toy: Path, preloaded: Preloaded, tmp_path: Path
) -> None:
    """`torchrun` on the same command: the first process prepares, logs and saves; the mathematics is the same."""
    settings = [word for setting in [*REPEATABLE, "data.size=[16, 16]"] for word in ("--set", setting)]
    command = ["train", "segment", toy, "--out", tmp_path / "run", "--steps", "40", "--batch", "4", *settings]
    done = preloaded.start(command, processes=2)
    assert done.wait() == 0, done.stderr.read_text()
    ours, theirs = newest(tmp_path / "run" / "checkpoints"), newest(uninterrupted / "checkpoints")
    assert ours is not None and theirs is not None and ours.step == theirs.step == 40
    # Zero at first, weights move by 8e-4. Adam divides by the gradient's size, so that rounding of a gradient that is
    # nothing but rounding (of a bias before a normalisation) moves one by up to 1.3e-5, on processors with AMX.
    for name, tensor in theirs.tensors["ema"].items():
        assert tensor.allclose(ours.tensors["ema"][name], atol=5e-5), name
    records = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert len(records) == len((uninterrupted / "log.jsonl").read_text().splitlines())
    assert done.stderr.read_text().count("cases at 16 x 16") == 1, "one process prepares, one speaks"


def test_patience_ends_a_run_for_good(dataset: Path, tmp_path: Path) -> None:
    """Nothing can get better at a learning rate of nothing: three validations, then the end, also when asked again."""
    settings = [TINY, "validate={every_steps: 2, cases: 2, patience: 2}", "train.learning_rate=1e-30", "sample.steps=1"]
    first = train.segment(dataset, out=tmp_path / "run", steps=40, batch=4, set=settings)
    again = train.segment(dataset, out=tmp_path / "run", steps=40, batch=4, set=settings)
    assert first["step"] == again["step"] == 6 and first["best"]["step"] == 2


def test_the_best_checkpoint_is_named_after_a_kill_in_between(dataset: Path, tmp_path: Path) -> None:
    """The checkpoint was saved, the process died before the file `best` named it."""
    run = tmp_path / "run"
    settings = [*REPEATABLE, "validate.every_steps=2"]
    result = train.segment(dataset, out=run, steps=4, batch=4, set=settings)
    name = (run / "checkpoints" / "best").read_text()
    assert name.strip() == f"step-{result['best']['step']:08d}"
    (run / "checkpoints" / "best").write_text("step-00000001\n")
    train.resume(run)
    assert (run / "checkpoints" / "best").read_text() == name


def test_a_twin_takes_as_many_steps_as_its_model(dataset: Path, tmp_path: Path) -> None:
    """Measured in minutes, the second of two trainings on a busy machine would be the worse baseline."""
    run = tmp_path / "run"
    result = train.segment(dataset, out=run, minutes=0.02, batch=4, set=[TINY, "sample.steps=1"], twin=True)
    assert result["step"] == result["twin"]["step"] > 0
    longer = train.resume(run, more_minutes=0.02)
    assert longer["step"] == longer["twin"]["step"] > result["step"]


@pytest.mark.parametrize("name", ["run.json", "plan.json", "provenance.json", "init.json", ".recipe.yaml.77.part"])
def test_a_run_that_was_killed_before_it_was_one_is_begun_again(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(DataError, match="does not exist"):
        next(training(load_recipe("segment"), Run(tmp_path), tmp_path / "nothing"))


def test_a_folder_of_somebody_is_no_run(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="not empty and holds no run"):
        next(training(load_recipe("segment"), Run(tmp_path), dataset))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("kind", ["file", "pipe", "within", "source"])
def test_a_training_is_not_made_of_a_file_nor_where_its_source_is_read(
    kind: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(shutil.copytree(toy, tmp_path / "source"))
    out = {"within": source / "run", "source": source}.get(kind, tmp_path / "out")
    (tmp_path / "out").touch()
    if kind == "pipe":
        out.unlink()
        os.mkfifo(out)
    before = sorted(source.rglob("*"))
    with pytest.raises(UsageError, match="is a file" if out.name == "out" else "lies within the input"):
        train.generate(source, out=out, steps=1)
    with pytest.raises(UsageError, match="is a file" if out.name == "out" else "lies within the input"):
        tune.generate(source, out=out, trials=1, steps_per_trial=1)
    assert sorted(source.rglob("*")) == before


def test_a_source_that_cannot_be_read_leaves_no_folder(toy: Path, tmp_path: Path) -> None:
    for settings in (["data={source: {masks: nowhere}}"], ["data={source: {group_by: '(x+)y'}}"]):
        with pytest.raises(DataError):
            train.generate(toy, out=tmp_path / "run", steps=1, set=settings)
        assert not (tmp_path / "run").exists()
