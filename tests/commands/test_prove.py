"""`sfumato prove`: planted truths are found, leaks are refused, a stopped proof goes on, the page shows the answer."""

import csv
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from sfumato.commands.prove import prove
from sfumato.commands.toy import toy as make_toy
from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.errors import DataError, UsageError
from sfumato.evaluation.prove import train as training
from sfumato.reporting.page import write_report
from sfumato.verbs import prove as proving

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "evaluation" / "prove"))
import stripes as toys

FEW = {"across": 8, "down": 8}
MANY = {"across": 40, "down": 40}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toys.write_real(tmp_path_factory.mktemp("prove"), train=FEW)


@pytest.fixture(scope="module")
def fresh(real: Path) -> Path:
    return toys.write_folder(real.parent / "fresh", MANY, seed=7)


@pytest.fixture(scope="module")
def proof(real: Path, fresh: Path) -> Path:
    out = real.parent / "proof"
    prove(real, fresh, out=out, ratios="5", seeds=3, steps=25, workers=1)
    return out


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def test_fresh_real_images_are_recognised_as_helpful(proof: Path) -> None:
    found = summary(proof)
    assert found["verdict"] == "helps" and found["ratio"] == 5 and found["metric"] == "auroc"
    assert found["reading"][0].startswith("The synthetic images help: the AUROC of real + synthetic, 5 x is")
    assert {entry["control"] for entry in found["differences"]} == {"real", "real + duplicates"}
    assert all(entry["low"] > 0 for entry in found["differences"] if entry["metric"] == "auroc")
    assert any("not known" in note for note in found["notes"])


def test_noise_is_not(real: Path, tmp_path: Path) -> None:
    samples = toys.write_folder(tmp_path / "noise", MANY, seed=8, make=toys.noise)
    found = prove(real, samples, out=tmp_path / "proof", ratios="5", seeds=3, steps=25, workers=1)
    assert found["verdict"] in ("no evidence", "harms")
    assert any("no better than always 'down'" in sentence for sentence in found["reading"])


def test_every_score_and_prediction_is_written(proof: Path) -> None:
    with (proof / "scores.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["seed"] for row in rows} == {"0", "1", "2", "mean"}
    assert {"auroc", "balanced_accuracy", "sensitivity", "specificity", "f1_of_always"} <= {
        row["metric"] for row in rows
    }
    with (proof / "predictions.csv").open(encoding="utf-8") as file:
        predicted = list(csv.DictReader(file))
    assert len(predicted) == 120 * 4 * 3
    of_real = [row for row in predicted if row["arm"] == "real" and row["seed"] == "0"]
    sensitivity = np.mean([float(row["down"]) > 0.5 for row in of_real if row["class"] == "down"])
    told = [r for r in rows if (r["arm"], r["seed"], r["metric"], r["class"]) == ("real", "0", "sensitivity", "down")]
    assert float(told[0]["value"]) == pytest.approx(sensitivity, abs=1e-6)


def test_a_finished_proof_is_shown_and_the_page_has_it(proof: Path, real: Path, fresh: Path, tmp_path: Path) -> None:
    assert prove(real, fresh, out=proof, ratios="5", seeds=3, steps=25, workers=1)["verdict"] == "helps"
    text = write_report([proof], tmp_path / "page.html").read_text(encoding="utf-8")
    for words in (
        "The synthetic images help",
        "How far from the controls",
        "Beside always saying the same",
        "Each class",
    ):
        assert words in text


def test_a_stopped_proof_goes_on(
    real: Path, fresh: Path, proof: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def stops(subject: training.Subject, unit: training.TrainingUnit) -> np.ndarray:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(unit)
        return np.full((120, 2), 0.5)

    def goes(_: training.Subject, unit: training.TrainingUnit) -> np.ndarray:
        trained.append(unit)
        return np.full((120, 2), 0.5)

    def asked(count: int) -> dict:
        return prove(real, fresh, out=tmp_path / "proof", ratios="5", seeds=2, steps=count, workers=1)

    monkeypatch.setattr(proving, "run_unit", stops)
    with pytest.raises(KeyboardInterrupt):
        asked(25)
    assert not (tmp_path / "proof").exists()
    with pytest.raises(UsageError, match="another command has begun"):
        asked(26)
    monkeypatch.setattr(proving, "run_unit", goes)
    assert asked(25)["verdict"] == "no evidence"
    assert len(trained) == len(set(trained)) == 8


def test_duplicates_of_the_test_are_refused(real: Path, tmp_path: Path) -> None:
    samples = toys.write_folder(tmp_path / "samples", {"across": 4, "down": 4}, seed=2)  # begins as the test does
    with pytest.raises(DataError, match="pixel by pixel"):
        prove(real, samples, out=tmp_path / "proof", ratios="0.5", seeds=2, steps=1, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["samples"], "what was begun for nothing is gone"


def test_a_class_without_training_images_is_refused_before_a_model_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = toys.write_real(tmp_path / "data", train={"across": 8}, test=5)
    samples = toys.write_folder(tmp_path / "samples", FEW, seed=3)
    monkeypatch.setattr(proving, "run_unit", lambda *_: pytest.fail("a model is trained"))
    with pytest.raises(DataError, match="class 'down', of which REAL has no training image"):
        prove(real, samples, out=tmp_path / "proof", ratios="1", seeds=2, steps=1, workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "samples"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"ratios": "1", "balance": True}, "--balance"),
        ({"ratios": "0,1"}, "--ratios 0,1"),
        ({"ratios": "many"}, "--ratios many"),
        ({"seeds": 1}, "--seeds 1"),
        ({"positive": "up"}, "--positive up"),
        ({"network": "large"}, "no classifier large"),
        ({"network": "timm:resnet18"}, "needs the package timm"),
    ],
)
def test_what_means_nothing_is_refused(real: Path, fresh: Path, tmp_path: Path, flags: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prove(real, fresh, out=tmp_path / "proof", steps=1, **flags)


def test_unknown_classes_and_missing_masks_are_refused(real: Path, fresh: Path, dataset: Path, tmp_path: Path) -> None:
    toys.write_folder(tmp_path / "samples", {"across": 2, "sideways": 2})
    with pytest.raises(DataError, match="class sideways"):
        prove(real, tmp_path / "samples", out=tmp_path / "proof", steps=1)
    with pytest.raises(DataError, match="no mask"):
        prove(dataset, fresh, out=tmp_path / "proof", task="segment", steps=1)
    with pytest.raises(DataError, match="has no masks"):
        prove(real, fresh, out=tmp_path / "proof", task="segment", steps=1)


def test_segmenters_are_compared_by_dice(dataset: Path, tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", cases=12, size=32, classes=2, seed=5)
    found = prove(
        dataset, tmp_path / "toy", out=tmp_path / "proof", task="segment", ratios="0.5", seeds=2, steps=2, workers=1
    )
    assert found["metric"] == "dice" and found["settings"]["network"] == "U-Net, one call"
    assert [entry["arm"] for entry in found["arms"]] == [
        "real",
        "real + duplicates",
        "real + synthetic",
        "synthetic alone",
    ]
    assert "Dice" in write_report([tmp_path / "proof"], tmp_path / "page.html").read_text(encoding="utf-8")


def test_data_with_classes_and_masks_are_asked_about_their_classes_too(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """README's second block after its first: samples have no masks, and the real data have."""
    monkeypatch.setattr(proving, "run_unit", constant)
    pictures = tmp_path / "samples"
    rng = np.random.default_rng(0)
    for label in ("grade 0", "grade 1"):
        (pictures / label).mkdir(parents=True)
        for number in range(4):
            picture = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            write_image(pictures / label / f"{label[-1]}{number}.png", picture)
    found = prove(dataset, pictures, out=tmp_path / "proof", ratios="0.2", seeds=2, steps=1, workers=1)
    assert found["task"] == "classify" and "classifiers are trained, as SAMPLES has no masks" in found["notes"]


def constant(subject: training.Subject, _: training.TrainingUnit) -> np.ndarray:
    """Answers of a classifier that always says the same."""
    dataset = Dataset.open(subject.folder)
    return np.full((len(dataset.rows("test")), len(dataset.spec.classes)), 0.5)


def test_a_classifier_of_timm(real: Path, fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    made = []

    def create_model(name: str, *, pretrained: bool, in_chans: int, num_classes: int) -> torch.nn.Module:
        if name == "nothing":
            raise RuntimeError("Unknown model (nothing)")
        made.append((name, pretrained, in_chans, num_classes))
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(in_chans * toys.SIDE**2, num_classes))

    package = ModuleType("timm")
    package.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", package)
    prove(real, fresh, out=tmp_path / "proof", ratios="1", seeds=2, steps=2, workers=1, network="timm:resnet18")
    assert set(made) == {("resnet18", False, 1, 2)}
    with pytest.raises(UsageError, match="Unknown model"):
        prove(real, fresh, out=tmp_path / "other", network="timm:nothing")
