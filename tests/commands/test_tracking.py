"""Trackers of a real run: one that fails changes nothing, and a stopped run is told of as if it had never stopped."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sfumato.commands import train
from sfumato.errors import Stopped
from sfumato.experiment import run_training
from sfumato.recipe.track import Word
from sfumato.training import track
from sfumato.training.checkpoint import newest
from sfumato.training.track import LogEntry, ResumePoint

SETTINGS = [
    "network={kind: unet, channels: 4, multipliers: [1, 2], blocks: 1, attention: []}", "validate.every_steps=7",
    "validate.cases=2", "sample.steps=2", "checkpoint.every_steps=3",
]  # fmt: skip


class Broken:
    """Fails when it is told something."""

    name = "broken"

    def start(self, words: Mapping[str, Word], place: ResumePoint) -> ResumePoint:
        return place._replace(run="x")

    def record(self, entries: Sequence[LogEntry]) -> None:
        raise ConnectionError("no route to host")

    def close(self) -> None: ...


def scalars(run: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    reader.Reload()
    return {name: [event.step for event in reader.Scalars(name)] for name in reader.Tags()["scalars"]}


def logged(run: Path, kind: str) -> list[int]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [record["step"] for record in records if record["kind"] == kind]


def test_a_tracker_that_fails_changes_no_bit(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(track, "PAUSE_SECONDS", 0.01)
    train.segment(dataset, out=tmp_path / "plain", steps=10, batch=4, set=SETTINGS)
    assert "left out" not in capsys.readouterr().err
    monkeypatch.setattr(run_training, "build_trackers", lambda *_: [Broken()])
    train.segment(dataset, out=tmp_path / "tracked", steps=10, batch=4, set=SETTINGS)
    assert capsys.readouterr().err.count("broken failed and is left out: no route to host. Training goes on") == 1
    ours, theirs = newest(tmp_path / "tracked" / "checkpoints"), newest(tmp_path / "plain" / "checkpoints")
    assert ours is not None and theirs is not None and ours.step == theirs.step == 10
    assert all(tensor.equal(ours.tensors["ema"][name]) for name, tensor in theirs.tensors["ema"].items())
    assert logged(tmp_path / "tracked", "train") == list(range(1, 11))


def test_a_stopped_run_is_told_of_once(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun without a tracker, stopped, resumed with one, stopped again, resumed: every step once."""
    from sfumato.experiment.trainer import Trainer

    real, stops = Trainer._steps, [5, 12]

    def steps(self: Trainer, *arguments: Any) -> Any:
        for progress in real(self, *arguments):
            if progress.step in stops:
                os.kill(os.getpid(), signal.SIGTERM)
            yield progress

    monkeypatch.setattr(Trainer, "_steps", steps)
    words: dict[str, Any] = {"out": tmp_path / "run", "steps": 16, "batch": 4}
    with pytest.raises(Stopped):
        train.segment(dataset, **words, set=SETTINGS)
    with pytest.raises(Stopped):
        train.segment(dataset, **words, set=[*SETTINGS, "track.tensorboard=true"])
    stops.clear()
    train.segment(dataset, **words, set=[*SETTINGS, "track.tensorboard=true"])
    told = scalars(tmp_path / "run")
    assert told["train/loss"] == logged(tmp_path / "run", "train") == list(range(1, 17))
    assert told["validate/score"] == logged(tmp_path / "run", "validate") == [7, 14, 16]
    starts = json.loads((tmp_path / "run" / "hardware.json").read_text())
    first, second, third = (start["step"] for start in starts)
    assert (first, second in (5, 6), third in (12, 13), starts[0]["device"]) == (0, True, True, "cpu")
