"""`--steps auto`: measured once on the validation split, kept in the model's header, read from there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from sfumato import calls
from sfumato.commands import generate as generating
from sfumato.commands import segment as segmenting
from sfumato.errors import UsageError
from sfumato.run import HEADER_KEY, Run, load_model


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "STEPS", (1, 2, 5))
    monkeypatch.setattr(calls, "CASES", 2)
    monkeypatch.setattr(calls, "IMAGES", 6)


def header(file: Path) -> dict[str, object]:
    with safe_open(file, framework="pt") as stored:
        about: dict[str, object] = json.loads(stored.metadata()[HEADER_KEY])
        return about


def test_masks(segment_run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    shutil.copytree(segment_run, run)
    before = load_model(run)
    first = segmenting.segment(run, dataset, out=tmp_path / "a", split="test", samples=2, steps="auto")
    curve = header(run / "model.safetensors")["curve"]
    assert isinstance(curve, dict)
    assert [point["steps"] for point in curve["points"]] == [1, 2, 5]
    assert all(0 <= point["values"]["dice"] <= 1 and "ged" in point["values"] for point in curve["points"])
    assert first["steps"] == curve["steps"]
    after = load_model(run)
    assert after.sha256 == before.sha256 and after.step == before.step

    def fails(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("sfumato.commands.flags.steps.measure", fails)
    lone = shutil.copy(run / "model.safetensors", tmp_path / "lone.safetensors")
    for model, out in [(run, "b"), (Path(lone), "c")]:
        again = segmenting.segment(model, dataset, out=tmp_path / out, split="test", samples=2, steps="auto")
        assert again["steps"] == first["steps"]


def test_images(generate_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(generate_run, run)
    generating.generate(run, out=tmp_path / "samples", count=2, steps="auto")
    curve = header(run / "model.safetensors")["curve"]
    assert isinstance(curve, dict)
    assert list(curve["points"][0]["values"]) == ["kid"] and curve["tolerance"]["kid"] > 0


def test_a_lone_model_without_a_curve_is_refused_in_words(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    lone = shutil.copy(Run(segment_run).weights(), tmp_path / "lone.safetensors")
    with pytest.raises(UsageError, match="no measurement of ddim on the critical grid"):
        segmenting.segment(Path(lone), dataset, out=tmp_path / "out", split="test", steps="auto")


@pytest.mark.parametrize("flag", ["eta", "churn", "guide", "guidance"])
@pytest.mark.parametrize("task", ["masks", "images"])
def test_a_curve_knows_no_other_flags(
    flag: str, task: str, segment_run: Path, generate_run: Path, dataset: Path, tmp_path: Path
) -> None:
    words: dict[str, Any] = {"out": tmp_path / "out", "steps": "auto", flag: "20" if flag == "guide" else 0.5}
    with pytest.raises(UsageError, match=f"--steps auto with --{flag}, which changes how many"):
        if task == "masks":
            segmenting.segment(segment_run, dataset, split="test", **words)
        else:
            generating.generate(generate_run, **words)


def test_a_curve_of_older_weights_is_passed_over(segment_run: Path, dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(segment_run, run)
    segmenting.segment(run, dataset, out=tmp_path / "a", split="test", samples=2, steps="auto")
    assert Run(run).weights() == run / "model.safetensors"
    weights = Run(segment_run).weights().relative_to(segment_run)
    shutil.copy(run / "twin" / Run(segment_run / "twin").weights().relative_to(segment_run / "twin"), run / weights)
    assert not Run(run)._is_of(run / weights)
