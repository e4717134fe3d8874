"""A run that learns by heart says so once: on the console, in its log, on its page; also after it was resumed."""

from pathlib import Path

import pytest
from tests.commands.conftest import TINY

from sfumato.commands import train
from sfumato.experiment.trainer import Trainer
from sfumato.reporting.content import Note
from sfumato.reporting.sections.runs import run_section
from sfumato.tasks.synthesise import Synthesise
from sfumato.training.log import read_log


def test_a_gap_is_warned_of_once(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = {"score": -0.4, "loss_held_out": 0.4, "loss_train": 0.2, "gap": 0.2, "gap_error": 0.01}
    monkeypatch.setattr(Synthesise, "validate", lambda *_: scores)
    monkeypatch.setattr(Trainer, "_picture", lambda *_: None)
    run, settings = tmp_path / "run", [*TINY, "validate.every_steps=1"]
    train.generate(dataset, out=run, steps=3, batch=4, set=settings)
    train.resume(run, until_steps=4)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("warning after") == 1 and "warning after 1 steps: training images have a 50% lower loss" in said
    records = [record for record in read_log(run / "log.jsonl") if record["kind"] == "warning"]
    assert len(records) == 1 and records[0]["step"] == 1
    notes = [block.text for block in run_section(run).blocks if isinstance(block, Note)]
    assert len(notes) == 1 and records[0]["text"] in notes[0]
