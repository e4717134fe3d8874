"""RUN/train.log: readable, added to, without places of this machine; and the sentences with which a training ends."""

import errno
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from sfumato.builder.training import build_parts
from sfumato.commands import train
from sfumato.data.dataset import Dataset
from sfumato.experiment.journal import JOURNAL_FILE, Journal
from sfumato.experiment.run import Run
from sfumato.experiment.training_log import beside_control, ended, following, judged
from sfumato.recipe import load_recipe, merge, parse_recipe
from sfumato.tasks.segment import Segment
from sfumato.training.loop import Diverged

from .conftest import TINY

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d (INFO   |WARNING|ERROR  ) \S.*")
SETTINGS = [TINY[0], "validate={every_steps: 2, cases: 2}", "sample.steps=1", "checkpoint.every_steps=100"]


def lines(folder: Path) -> list[str]:
    return (folder / JOURNAL_FILE).read_text(encoding="utf-8").splitlines()


def test_lines_have_time_and_level_and_nothing_that_cannot_be_seen(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note("first\nsecond")
    journal.warn("a class called \x1b[2J\u202eevil")
    journal.note("the end", "ERROR")
    assert all(map(LINE.fullmatch, lines(tmp_path)))
    assert [line[26:33].strip() for line in lines(tmp_path)] == ["INFO", "INFO", "WARNING", "ERROR"]
    assert lines(tmp_path)[2].endswith(r"a class called \x1b[2J\u202eevil")


def test_places_are_told_by_names_that_do_not_tell_them(tmp_path: Path) -> None:
    run = tmp_path / "Jane Doe" / "run"
    run.mkdir(parents=True)
    journal = Journal(run, private=["/data/Jane Doe/set 7", "/data/Jane Doe"])
    journal.note(f"pictures: {run}/samples/step-1.png, resuming {run} at step 3")
    journal.note("init: weights of /models/Jane/weights.safetensors; '/mnt/x/y', (~/z) C:\\Users\\Jane\\scans")
    journal.note("data of /data/Jane Doe/set 7; 3/4 of 12 images/s, and/or nothing")
    told = [line[34:] for line in lines(run)]
    assert told[0] == "pictures: samples/step-1.png, resuming run at step 3"
    name = "local:[0-9a-f]{16}"
    assert re.fullmatch(f"init: weights of {name}; '{name}', \\({name}\\) {name}", told[1])
    assert re.fullmatch(f"data of {name}; 3/4 of 12 images/s, and/or nothing", told[2])


def test_a_file_that_cannot_be_written_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / JOURNAL_FILE).mkdir()
    journal = Journal(tmp_path)
    for _ in range(3):
        journal.note("a line")
    with journal.optional("the model card"):
        raise OSError(errno.ENOSPC, "No space left on device")
    said = capsys.readouterr().err
    assert said.count("lines are missing in") == 1
    assert said.count("the model card could not be written (No space left on device); training goes on") == 1
    Journal(None).note("of another process")


def test_a_training_is_told_from_its_start_to_its_end_and_resume_adds(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, dataset = tmp_path / "run", shutil.copytree(dataset, tmp_path / "dataset")
    monkeypatch.setattr(sys, "argv", ["sfumato", "train", "segment", str(dataset), "--out", str(run)])
    train.segment(dataset, out=run, steps=4, batch=4, set=SETTINGS)
    first = (run / JOURNAL_FILE).read_bytes()
    text = first.decode()
    assert all(map(LINE.fullmatch, text.splitlines()))
    for said in (
        "start: sfumato ", "command: sfumato train segment ../dataset --out .", "data: 17 train, 4 validation, 3 test",
        "plan: validate.metric = dice", "length: 4 steps; batch 4, seed 0", "network: unet, ", "hardware: cpu",
        "memory: ", " steps/s, ", "images/s, loss ", "validation after 2 steps: dice ", "checkpoint after 2 steps",
        "pictures after 4 steps: samples/step-00000004.png", "run: trained to segment for 4 steps (16 images)",
    ):  # fmt: skip
        assert said in text, said
    assert text.count("checkpoint after 4 steps") == 1
    train.resume(run, until_steps=5)
    again = (run / JOURNAL_FILE).read_bytes()
    assert again.startswith(first)
    added = again[len(first) :].decode()
    assert "resuming run at step 4" in added and "length: 5 steps" in added and "plan:" not in added
    assert str(tmp_path) not in again.decode() and str(dataset.parent) not in again.decode()
    last = capsys.readouterr().err.splitlines()[-3:]
    assert last[0].startswith(f"{run}: trained to segment for 5 steps (20 images) in ")
    assert re.match(r"best Dice on 2 validation cases: \S+ \((no better than )?an empty mask: \S+\), after ", last[1])
    assert last[2] == f"next: sfumato segment {run} SCANS --out {run}-predictions"


def test_no_refusal_to_write_ends_a_training(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither of train.log, nor of hardware.json, nor of the model card; log.jsonl is whole in the end."""
    run = tmp_path / "run"
    train.segment(dataset, out=run, steps=1, batch=4, set=SETTINGS)
    for name in (JOURNAL_FILE, "hardware.json", "model_card.md"):
        (run / name).unlink()
        (run / name).mkdir()
    capsys.readouterr()
    assert train.resume(run, until_steps=3)["step"] == 3
    said = capsys.readouterr().err
    assert said.count("lines are missing in") == said.count("the model card could not be written") == 1
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "train"] == [1, 2, 3]


def test_what_ends_a_training_is_written_down(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Segment.loss
    monkeypatch.setattr(
        Segment, "loss", lambda *given: {name: term * float("nan") for name, term in real(*given).items()}
    )
    with pytest.raises(Diverged):
        train.segment(dataset, out=tmp_path / "run", steps=4, batch=4, set=[*SETTINGS, "train.bad_steps=0"])
    assert "ERROR   ended: training diverged in step 0" in lines(tmp_path / "run")[-1]


# --- sentences


def told_end(dataset: Path, *settings: str, step: int, patient: bool = False) -> str:
    recipe = load_recipe("segment", settings=[TINY[0], "train.batch=8", *settings])
    resolved = {"process": {"kind": "gaussian", "critical_log_snr": None}, "data": {"size": [16, 16]}}
    recipe = parse_recipe(merge(recipe.model_dump(mode="json", by_alias=True), resolved), origin="a test")
    parts = build_parts(recipe, Dataset.open(dataset).spec, device="cpu")
    parts.step, parts.seconds = step, 90.0
    return ended(Run(Path("runs/a")), recipe, parts, patient=patient)


def test_the_end_says_what_ended_it(dataset: Path) -> None:
    whole = "runs/a: trained to segment for 9 steps (72 images) in 1.5 minutes"
    assert told_end(dataset, "train.steps=9", "train.minutes=5", step=9) == whole
    assert told_end(dataset, "train.minutes=1", step=9) == whole
    assert told_end(dataset, "train.steps=40", "train.minutes=1.5", step=9) == (
        f"{whole}; the ceiling of 1.5 minutes came before 40 steps"
    )
    assert told_end(dataset, "train.images=90", "train.minutes=1.5", step=9) == (
        f"{whole}; the ceiling of 1.5 minutes came before 12 steps"
    )
    assert "stopped early" in told_end(dataset, "train.steps=40", step=9, patient=True)


def test_the_best_values_are_told_with_their_control_and_their_place() -> None:
    run, other = Run(Path("runs/a")), {"metric": "loss", "value": 0.25, "step": 6}
    best = {"metric": "dice", "score": 0.81234, "step": 4, "stalled": 0, "other": other}
    assert judged(run, best, cases=32, control="an empty mask: 0.02") == (
        "best Dice on 32 validation cases: 0.8123 (an empty mask: 0.02), after 4 steps: runs/a/checkpoints/best; "
        "lowest loss 0.25 after 6 steps: best-loss beside it"
    )
    assert judged(run, {"metric": "loss", "score": -0.5, "step": 1}, cases=1, control="") == (
        "lowest loss on 1 validation case: 0.5, after 1 step: runs/a/checkpoints/best"
    )
    assert "no validation gave a number" in judged(run, {"stalled": 3}, cases=1, control="")


def test_a_twin_is_laid_beside_its_model() -> None:
    dice = {"metric": "dice", "score": 0.8}
    assert (
        beside_control(dice, "twin", {**dice, "score": 0.75})
        == "beside its deterministic twin: Dice 0.8, the twin 0.75"
    )
    assert beside_control(dice, "twin", {}) == beside_control({}, "ssn", {}) == ""


@pytest.mark.parametrize(
    ("task", "pairs", "command"),
    [
        ("segment", "none", "sfumato segment 'runs/my run' SCANS --out 'runs/my run-predictions'"),
        ("generate", "none", "sfumato generate 'runs/my run' --out 'runs/my run-samples'"),
        ("generate", "joint", "sfumato pair 'runs/my run' --out 'runs/my run-samples'"),
        ("generate", "mask", "sfumato pair MODEL_OF_IMAGES_FROM_MASKS --masks 'runs/my run' --out"),
    ],
)
def test_the_next_command(task: str, pairs: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run(Path("runs/my run"))
    run.folder.mkdir(parents=True)
    recipe = load_recipe("segment" if task == "segment" else "generate", settings=[f"data.pairs={pairs}"])
    run.recipe_file.write_text(recipe.to_yaml())
    assert following(run).startswith(f"next: {command}")
