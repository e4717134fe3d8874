"""Trackers: each gets every number once, across kills and resumes; one that fails costs a warning and nothing else."""

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from sfumato.builder.track import build_trackers
from sfumato.errors import Stopped, UsageError
from sfumato.recipe import Track, load_recipe, public_words
from sfumato.recipe.track import Word
from sfumato.training import track as track_module
from sfumato.training.track import LogEntry, ResumePoint, Tracking
from sfumato.training.trackers import MLflow, TensorBoard, WandB

WORDS: dict[str, Word] = {"process.kind": "edm", "train.learning_rate": 3e-4}
SECRET = "SMITH_JOHN_1970"


class Listener:
    """Remembers what it is told; fails where it is asked to."""

    def __init__(self, *, name: str = "listener", fails: str = "") -> None:
        self.name = name
        self.told: list[LogEntry] = []
        self.places: list[ResumePoint] = []
        self.closed = False
        self._fails = fails

    def _call(self, name: str) -> None:
        if name == self._fails:
            raise RuntimeError("the server is gone\nlong story")

    def start(self, words: Mapping[str, Word], place: ResumePoint) -> ResumePoint:
        self._call("start")
        self.places.append(place)
        return place._replace(run="mine")

    def record(self, entries: Sequence[LogEntry]) -> None:
        self._call("record")
        self.told += entries

    def close(self) -> None:
        self._call("close")
        self.closed = True

    @property
    def steps(self) -> list[int]:
        return [entry.step for entry in self.told]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "PAUSE_SECONDS", 0.01)


class Run:
    """A run folder whose log is written beside the trackers, as a session does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warnings = folder, list[str]()

    def go(self, tracker: object, *, to: int, since: int = 0, stops: BaseException | None = None) -> None:
        with (self.folder / "log.jsonl").open("a") as log:
            tracking = Tracking([tracker], self.folder, words=WORDS, step=since, warn=self.warnings.append)  # type: ignore[list-item]
            with tracking:
                for step in range(since + 1, to + 1):
                    record = {"kind": "train", "step": step, "loss": 1 / step}
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                    tracking.record(record)
                if stops is not None:
                    raise stops


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_every_step_once_and_in_order(run: Run) -> None:
    listener = Listener()
    run.go(listener, to=20)
    assert listener.steps == list(range(1, 21)) and listener.closed and run.warnings == []
    assert listener.told[3] == LogEntry(4, {"train/loss": 0.25})
    assert listener.places == [ResumePoint()]


def test_only_finite_numbers_are_told(run: Run) -> None:
    listener = Listener()
    with Tracking([listener], run.folder, words=WORDS, warn=run.warnings.append) as tracking:
        tracking.record(
            {"kind": "validate", "step": 1, "dice": 0.5, "case": SECRET, "kid": float("nan"), "other": None}
        )
        tracking.picture(1, np.zeros((4, 4, 3), np.uint8))
    assert listener.told[0].numbers == {"validate/dice": 0.5}
    assert listener.told[1].numbers == {} and listener.told[1].picture is not None


@pytest.mark.parametrize("when", ["start", "record", "close"])
def test_a_tracker_that_fails_is_left_out_with_one_warning(run: Run, when: str) -> None:
    bad, good = Listener(fails=when), Listener(name="other")
    with Tracking([bad, good], run.folder, words=WORDS, warn=run.warnings.append) as tracking:
        for step in range(1, 30):
            tracking.record({"kind": "train", "step": step, "loss": 1.0})
            threading.Event().wait(0.002)
    assert good.steps == list(range(1, 30))
    assert run.warnings == [
        "listener failed and is left out: the server is gone. Training goes on; log.jsonl in the run has all numbers"
    ]


def test_a_package_that_is_not_there_is_named_with_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("wandb", "mlflow", "tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)
    words = Track(tensorboard=True, wandb="project", mlflow="experiment")
    with Tracking(build_trackers(words, run.folder), run.folder, words=WORDS, warn=run.warnings.append) as tracking:
        tracking.record({"kind": "train", "step": 1, "loss": 1.0})
    assert sorted(run.warnings) == [
        f"{name} is not installed: pip install 'sfumato[{name}]'. Training goes on without it"
        for name in ("mlflow", "tensorboard", "wandb")
    ]


def test_a_tracker_that_hangs_does_not_hold_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "CLOSE_SECONDS", 0.05)
    gate = threading.Event()
    listener = Listener()
    listener.record = lambda _: gate.wait(10)  # type: ignore[method-assign,assignment]
    run.go(listener, to=5)
    gate.set()
    assert run.warnings[0].startswith("listener failed and is left out: it did not finish within 0.05 seconds")


def test_a_tracker_that_cannot_keep_up_is_left_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track_module, "LONGEST_QUEUE", 50)
    monkeypatch.setattr(track_module, "PAUSE_SECONDS", 10.0)
    run.go(Listener(), to=200)
    assert len(run.warnings) == 1 and "50 entries wait for it" in run.warnings[0]


def test_a_resumed_run_goes_on_where_the_tracker_stopped(run: Run) -> None:
    """Stopped at 10: nothing twice; the tracker lost its last steps to a kill: they are told again from the log."""
    first, second, third = Listener(), Listener(), Listener()
    with pytest.raises(Stopped):
        run.go(first, to=10, stops=Stopped("stopped"))
    run.go(second, to=15, since=10)
    assert (first.steps, second.steps) == (list(range(1, 11)), list(range(11, 16)))
    assert second.places == [ResumePoint("mine", 10)]
    place = run.folder / "trackers" / "listener.json"
    place.write_text(json.dumps(ResumePoint("mine", 12)._asdict()))
    run.go(third, to=17, since=15)
    assert third.steps == list(range(13, 18))


def test_a_run_that_falls_back_tells_nothing_twice(run: Run) -> None:
    """Killed at 10, resumed from the checkpoint of 6: 7 to 10 are known."""
    run.go(Listener(), to=10)
    log = run.folder / "log.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:6]))
    second = Listener()
    run.go(second, to=12, since=6)
    assert second.steps == [11, 12]


def test_of_an_interrupted_step_nothing_is_told_until_it_is_whole(run: Run) -> None:
    first, second = Listener(), Listener()
    with pytest.raises(KeyboardInterrupt):
        run.go(first, to=5, stops=KeyboardInterrupt())
    assert first.steps == [1, 2, 3, 4]
    run.go(second, to=6, since=5)
    assert second.steps == [5, 6]


def test_records_after_the_step_of_a_resume_are_not_believed(run: Run) -> None:
    run.go(Listener(), to=8)
    (run.folder / "trackers" / "listener.json").unlink()
    second = Listener()
    run.go(second, to=4, since=4)
    assert second.steps == [1, 2, 3, 4]


def events(folder: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    reader.Reload()
    return {name: [event.step for event in reader.Scalars(name)] for name in reader.Tags()["scalars"]} | {
        name: [event.step for event in reader.Images(name)] for name in reader.Tags()["images"]
    }


def test_tensorboard_reads_back_what_was_told(run: Run) -> None:
    board = run.folder / "tensorboard"
    run.go(TensorBoard(board), to=6)
    place = run.folder / "trackers" / "tensorboard.json"
    place.write_text(json.dumps(ResumePoint("events", 4)._asdict()))  # killed after writing 5 and 6, before saying so
    with Tracking([TensorBoard(board)], run.folder, words=WORDS, step=6, warn=run.warnings.append) as tracking:
        tracking.record({"kind": "train", "step": 7, "loss": 0.1})
        tracking.picture(7, np.zeros((4, 4, 3), np.uint8))
    assert events(board) == {"train/loss": [1, 2, 3, 4, 5, 6, 7], "samples": [7]}
    assert run.warnings == []


def test_mlflow_continues_its_run(run: Run) -> None:
    from mlflow import MlflowClient

    uri = (run.folder / "mlruns").as_uri()
    run.go(MLflow("lesions", uri), to=3)
    place = run.folder / "trackers" / "mlflow.json"
    known = json.loads(place.read_text())
    place.write_text(json.dumps({**known, "step": 1}))  # killed before it could say that 2 and 3 had arrived
    with Tracking([MLflow("lesions", uri)], run.folder, words=WORDS, step=3, warn=run.warnings.append) as tracking:
        tracking.record({"kind": "validate", "step": 4, "dice of a[0]": 0.5})
        tracking.picture(4, np.zeros((4, 4, 3), np.uint8))
    assert run.warnings == []
    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("lesions").experiment_id])
    assert [metric.step for metric in client.get_metric_history(found.info.run_id, "train/loss")] == [1, 2, 3]
    assert found.data.metrics["validate/dice of a_0_"] == 0.5 and found.info.status == "FINISHED"
    assert found.data.params == {"process.kind": "edm", "train.learning_rate": "0.0003"}
    assert client.list_artifacts(found.info.run_id, "images")


def test_mlflow_sends_large_batches_in_pieces(run: Run) -> None:
    from mlflow import MlflowClient

    uri = (run.folder / "mlruns").as_uri()
    tracker = MLflow("lesions", uri)
    tracker.start({str(k): k for k in range(250)}, ResumePoint())
    tracker.record([LogEntry(step, {str(k): 1.0 for k in range(4)}) for step in range(1, 301)])
    client = MlflowClient(uri)
    (found,) = client.search_runs([client.get_experiment_by_name("lesions").experiment_id])
    assert len(client.get_metric_history(found.info.run_id, "3")) == 300 and len(found.data.params) == 250
    assert found.data.tags["sfumato.step"] == "300"


def test_wandb_is_told_numbers_and_nothing_about_the_machine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, read back from the file that `wandb sync` would send."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["sfumato", "train", "segment", f"/data/{SECRET}"])
    folder = run.folder / SECRET
    folder.mkdir()
    inner = Run(folder)
    inner.go(WandB("lesions", folder), to=3)
    assert inner.warnings == []
    run_id = json.loads((folder / "trackers" / "wandb.json").read_text())["run"]
    inner.go(WandB("lesions", folder), to=5, since=3)
    assert inner.warnings == []
    assert json.loads((folder / "trackers" / "wandb.json").read_text()) == {"run": run_id, "step": 5}
    sent = sorted(folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb"))
    content = b"".join(file.read_bytes() for file in sent)
    assert b"train/loss" in content and b"learning_rate" in content
    assert SECRET.encode() not in content and str(Path.home()).encode() not in content


def test_nothing_that_a_person_typed_goes_to_a_tracker() -> None:
    settings = [
        f"data.source.masks=/data/{SECRET}", f"data.source.columns.patient={SECRET}", f"track.wandb={SECRET}",
        f"data.source.group_by={SECRET}", f"train.learning_rates={{'{SECRET}': 0.5}}", "train.learning_rate=3e-4",
    ]  # fmt: skip
    words = public_words(load_recipe("segment", settings=settings))
    assert SECRET not in str(words)
    assert words["process.kind"] == "gaussian" and words["train.learning_rate"] == 3e-4
    assert words["data.split.seed"] == 0 and words["validate.cases"] == 32


def test_pictures_of_patients_are_refused() -> None:
    with pytest.raises(UsageError, match=r"track\.pictures is for generate"):
        load_recipe("segment", settings=["track.pictures=true"])
    assert load_recipe("generate", settings=["track.pictures=true"]).track.pictures
