"""`sfumato info`: what matters on less than a screen, all that is known in the result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato.commands import generate, info, reference
from sfumato.commands.output.console import console
from sfumato.data.formats.image import write_image
from sfumato.errors import UsageError
from sfumato.reporting.page import write_report

SCREEN = 24
"""Lines of a small terminal."""

Told = Callable[[Path], tuple[dict[str, Any], list[str]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """The result about a path, and the lines that are printed at 80 columns."""

    def tell(path: Path) -> tuple[dict[str, Any], list[str]]:
        monkeypatch.setattr(console, "_width", 80)
        capsys.readouterr()
        result = info.info(path)
        return result, capsys.readouterr().err.splitlines()

    return tell


def test_a_run_is_told_on_less_than_a_screen(segment_run: Path, told: Told) -> None:
    result, lines = told(segment_run)
    assert len(lines) < SCREEN and not any("{" in line or '"' in line for line in lines)
    assert ": a run, 60 steps in " in lines[0]
    text = " ".join(" ".join(lines).split())
    for words in ("segments images", "grade 0, grade 1", "background, foreground", "unet, ", "Dice 0.", "twin/"):
        assert words in text
    assert result["model"]["sha256"] in text and result["model"]["recipe"]["train"]["steps"] == 60


def test_a_dataset_is_told_in_the_order_of_its_splits(dataset: Path, told: Told) -> None:
    result, lines = told(dataset)
    assert lines[0].endswith("a dataset of 24 cases (17 train, 4 validation, 3 test)") and len(lines) < SCREEN
    assert sum("255 becomes 1" in line for line in lines) == 1, "what is told above is no note"
    assert result["notes"]


def test_an_average_does_not_begin_with_its_parts(generate_run: Path, told: Told, tmp_path: Path) -> None:
    from sfumato.experiment.run import load_model
    from sfumato.header import header
    from sfumato.training.weights import write_weights

    model = load_model(generate_run)
    parts = [{"step": step, "width": 0.05, "share": 1 / 48} for step in range(48)]
    average = {"width": 0.07, "error": 0.0024590930507759484, "made_of": parts}
    file = tmp_path / "ema.safetensors"
    write_weights(file, model.network.state_dict(), header(model.recipe, model.spec, step=20, average=average))
    result, lines = told(file)
    assert len(lines) < SCREEN and result["average"]["made_of"] == parts
    assert any("of width 0.07 from 48 kept averages, within 0.25% of its profile" in line for line in lines)
    assert list(result)[-1] == "average", "nor does the result"


def test_samples_and_their_images_are_told(generate_run: Path, told: Told, tmp_path: Path) -> None:
    generate.generate(generate_run, out=tmp_path / "samples", count=2)
    result, lines = told(tmp_path / "samples")
    assert "Synthetic images. 2 images of 2 classes were made." in lines[0] and len(lines) < SCREEN
    assert result["is"] == "Synthetic images" and result["summary"]["images"]
    (first, *_) = sorted((tmp_path / "samples").rglob("00000*.png"))
    result, lines = told(first)
    assert "says of itself" in lines[0] and result["says"]["Seed"] == "0" and not any("{" in line for line in lines)


def test_statistics_of_real_images_are_told(dataset: Path, told: Told, tmp_path: Path) -> None:
    reference.reference(dataset, out=tmp_path / "ref.npz")
    result, lines = told(tmp_path / "ref.npz")
    assert "statistics of real images, " in lines[0] and result["images"] == 24
    assert any(line.split() == ["images", "24"] for line in lines)


def test_a_study_is_told_and_has_a_page(told: Told, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "study.db").write_bytes(b"")
    rows = ["0,complete,0.5,1e-3,trial-0000,", "1,pruned,0.9,1e-4,trial-0001,", "2,complete,0.75,0.0123456789,trial-2,"]
    (study / "trials.csv").write_text("\n".join(["trial,state,score,train.learning_rate,run,note", *rows]))
    _, lines = told(study)
    assert "Search for settings. 3 trials: 2 complete, 1 given up." in lines[0]
    assert any("The best is trial 2, with a score of 0.75: train.learning_rate = 0.01235." in line for line in lines)
    page = write_report([study], tmp_path / "page.html").read_text()
    assert page.index("0.01235") < page.index("given up</td>") and "Trials, the best on top" in page


def test_what_check_wrote_is_told(told: Told, tmp_path: Path) -> None:
    (tmp_path / "check.html").write_text("<p>")
    (tmp_path / "fingerprint.json").write_text(json.dumps({"cases": 1, "recommendations": ["Train at 32 x 32."]}))
    _, lines = told(tmp_path)
    assert lines[0].endswith("what check found in a source of 1 case") and lines[1] == "Train at 32 x 32."


@pytest.mark.parametrize("name", ["folder", "a.zip", "a.npz", "a.csv"])
def test_sources_are_left_to_check(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        write_image(path / "a.png", np.zeros((8, 8), np.uint8))
    elif name == "a.npz":
        np.savez(path, images=np.zeros((2, 8, 8)))
    else:
        path.write_bytes(b"id,image\n")
    with pytest.raises(UsageError, match=f"is nothing that sfumato wrote\n.*\n  fix: sfumato check .*{name}"):
        info.info(path)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        info.info(tmp_path / "nothing.png")
