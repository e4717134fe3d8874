"""The model card: what the data tell of the model, nothing that tells of a person, and a licence that stays."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.unit.reporting.conftest import write_table

from sfumato.reporting.card import CARD_FILE, TO_FILL, limits_of_run, model_card, read_card, write_card
from sfumato.reporting.page import write_report


@pytest.fixture
def card_run(tmp_path: Path) -> Path:
    """A run that was trained on 60 images of two classes, all of one patient in a class."""
    run, data = tmp_path / "run", tmp_path / "ward_7"
    run.mkdir()
    (run / "recipe.yaml").write_text(
        "{task: generate, data: {size: [32, 48]}, process: {kind: edm}, network: {kind: unet}, "
        "train: {seed: 3}, validate: {cases: 4, metric: kid}}"
    )
    (run / "run.json").write_text(json.dumps({"dataset": str(data), "sha256": "x"}))
    records = [
        {"kind": "train", "step": 9, "images": 72, "seconds": 60.0, "loss": 0.5},
        {"kind": "validate", "step": 5, "seconds": 30.0, "score": -0.2, "loss_held_out": 0.2},
        {"kind": "validate", "step": 9, "seconds": 60.0, "score": -0.3, "loss_held_out": 0.3},
    ]
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    splits = ["train"] * 53 + ["validation"] * 7
    rows = [
        {"id": f"Jane_{k}", "image": f"/ward_7/Jane_{k}.png", "label": "rare" if k < 2 else "often",
         "patient": f"Jane {k // 2}", "split": split, "origin": "real"}
        for k, split in enumerate(splits)
    ]  # fmt: skip
    write_table(data / "manifest.csv", list(rows))
    spec = {"modality": "mr", "channels": 1, "classes": ["often", "rare"]}
    (data / "dataset.json").write_text(json.dumps({"spec": spec}))
    weights = run / "checkpoints" / "step-5"
    weights.mkdir(parents=True)
    (weights / "ema.safetensors").write_bytes(b"weights")
    (run / "checkpoints" / "best").write_text("step-5\n")
    return run


def test_a_card_tells_of_data_training_numbers_and_limits(card_run: Path) -> None:
    card = model_card(card_run)
    for said in (
        "60 images of 30 patients", "53 train, 7 validation, 0 test", "often 51, rare 2", "modality: mr",
        "9 steps, 72 images seen, 1.0 minutes", "seed: 3", "on 4 validation cases", "| held-out loss | 0.2 |",
        "Only 2 training images of rare", "No test cases were held out", "32 x 48 pixels",
        "those after step 5, the best by kid",
        f"`{hashlib.sha256(b'weights').hexdigest()}`",
    ):  # fmt: skip
        assert said in card, said
    assert "Not for diagnosis" in card and TO_FILL in card and "of often." not in card
    assert "Jane" not in card and "ward" not in card and "/" not in card.split("## Validation")[0]


def test_the_licence_that_a_person_wrote_stays(card_run: Path) -> None:
    path = write_card(card_run)
    path.write_text(path.read_text().replace(TO_FILL, "CC BY 4.0\n\nData: ours."))
    with (card_run / "log.jsonl").open("a") as log:
        log.write(json.dumps({"kind": "train", "step": 99, "images": 800, "seconds": 90.0, "loss": 0.5}) + "\n")
    text = write_card(card_run).read_text()
    assert (
        "99 steps" in text and text.endswith("## Licence\n\nCC BY 4.0\n\nData: ours.\n") and text.count("Licence") == 1
    )
    assert read_card(card_run) == text


def test_names_are_no_markdown(card_run: Path) -> None:
    table = card_run.parent / "ward_7" / "manifest.csv"
    table.write_text(table.read_text().replace("rare", "[x](y)<b>|`"))
    assert r"\[x\](y)\<b\>\|\` 2" in model_card(card_run)
    assert any("of [x](y)<b>|`." in limit for limit in limits_of_run(card_run))  # elsewhere it is not Markdown


def test_names_of_runs_break_no_line_and_move_no_cursor(card_run: Path) -> None:
    run = card_run.rename(card_run.with_name("run\n\n## Licence\n\x1b[31m"))
    card = model_card(run)
    assert card.startswith("# Model card: run \\#\\# Licence \\\\x1b\\[31m\n") and card.count("\n## Licence\n") == 1


def test_lost_data_and_unfinished_runs_have_a_card_too(card_run: Path) -> None:
    (card_run.parent / "ward_7" / "manifest.csv").unlink()
    (card_run / "log.jsonl").unlink()
    (card_run / "checkpoints" / "best").unlink()
    card = model_card(card_run)
    assert "no longer where it was" in card and "Not validated yet" in card and "not trained yet" in card
    (card_run / "recipe.yaml").write_text("task: other\n")
    assert model_card(card_run) == "" and list(limits_of_run(card_run)) == []


def test_the_report_shows_card_and_limits(card_run: Path, tmp_path: Path) -> None:
    page = write_report([card_run], tmp_path / "report.html").read_text()
    assert f"<summary>{CARD_FILE}</summary>" in page and "<li>Only 2 training images of rare.</li>" in page
    assert not (card_run / CARD_FILE).exists(), "a report writes nothing into a run"


@pytest.mark.parametrize(
    ("whose", "said"),
    [
        ({"v0": "v0", "v1": "v1"}, "4 images of 2 cases, of how many patients is not known"),
        ({"v0": "p7", "v1": "v1"}, "4 images of 1 patient, and of 1 case of patients not known"),
        ({"v0": "p7", "v1": "p7"}, "4 images of 1 patient\n"),
    ],
)
def test_volumes_of_patients_whom_nobody_knows_are_cases(card_run: Path, whose: dict[str, str], said: str) -> None:
    rows = [
        {"id": f"{volume}_{plane}", "image": f"{volume}::axial/{plane}", "patient": who, "volume": volume,
         "split": "train", "origin": "real"}
        for volume, who in whose.items() for plane in range(2)
    ]  # fmt: skip
    write_table(card_run.parent / "ward_7" / "manifest.csv", rows)
    assert said in model_card(card_run)
