"""Folders from anyone: a page about them, or a refusal in words; no file of this machine that they make up."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.errors import DataError, ModelError, SfumatoError
from sfumato.evaluation.masks.predictions import model_name
from sfumato.provenance import read_provenance
from sfumato.reporting.page import write_report
from sfumato.reporting.reading import inside

from ..words import changed

ARM = {
    "network_calls": 4, "dice": {"mean": 0.5, "low": 0.4, "high": 0.6}, "difference": None, "ged_u": 0.1,
    "hm_iou": 0.2, "nll": None, "ece_foreground": 0.1, "error_auroc": 0.9, "seconds": 1.0,
}  # fmt: skip
SUMMARIES: dict[str, dict[str, Any]] = {
    "audit": {
        "kind": "audit", "cases": 3, "patients": 3, "readers": 1, "reading": ["So."],
        "arms": {"recommended": ARM, "twin": {**ARM, "difference": {"mean": 0.1, "low": 0.0, "high": 0.2}}},
    },
    "images": {
        "kind": "images", "generated": 4, "compared_with": None, "reading": ["So."], "notes": ["n"],
        "copies": {"copies": 1, "images": 4, "authenticity": 0.5},
    },
    "proof": {
        "kind": "proof", "verdict": "helps", "metric": "auroc", "reading": ["So."], "notes": [], "limits": ["one"],
        "settings": {"seeds": 2}, "data": {"test": {"a": 3}},
        "arms": [{"arm": "real", "ratio": None, "metric": "auroc", "value": 0.5, "low": 0.4, "high": 0.6}],
        "differences": [
            {"arm": "mixed", "ratio": 1.0, "control": "real + duplicates", "metric": "auroc", "value": 0.1, "low": 0.0,
             "high": 0.2, "p": 0.1, "level": 0.95},
        ],
    },
}  # fmt: skip
TABLES = {
    "images": ("metrics.csv", "space,class,metric,value,low,high,floor,floor_sd,z,n_generated,n_real\n"),
    "proof": ("scores.csv", "arm,ratio,seed,class,metric,value,low,high\n"),
}


def folder_of(kind: str, place: Path) -> Path:
    folder = place / kind
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(SUMMARIES[kind]))
    if kind in TABLES:
        name, text = TABLES[kind]
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("kind", SUMMARIES)
def test_a_changed_summary_gives_a_page_or_words(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for section in ("audit", "images", "proof"):  # drawing takes far longer than reading, and is tested elsewhere
        monkeypatch.setattr(f"sfumato.reporting.sections.{section}.{'scores' if section == 'images' else 'forest'}",
                            lambda *_, **__: b"")  # fmt: skip
    folder, random_ = folder_of(kind, tmp_path), random.Random(kind)
    write_report([folder], tmp_path / "page.html")
    for _ in range(25):
        about = changed(SUMMARIES[kind], random_)
        (folder / "summary.json").write_text(json.dumps(about))
        try:
            write_report([folder], tmp_path / "page.html")
        except SfumatoError as error:
            assert error.exit_code in (2, 3), about
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{json.dumps(about)}")


@pytest.mark.parametrize("name", ["plan.json", "provenance.json", "hardware.json", "recipe.yaml"])
@pytest.mark.parametrize(
    "content",
    ["{", "[" * 5000, "3", '"x"', "[3]", '{"a": 1, "a": 2}', "null", "\0"],
)
def test_other_files_of_a_run_give_a_page_or_words(name: str, content: str, run: Path, tmp_path: Path) -> None:
    (run / "log.jsonl").unlink()
    (run / name).write_text(content)
    try:
        write_report([run], tmp_path / "page.html")
    except SfumatoError as error:
        assert error.exit_code in (2, 3, 5) and run.name in str(error)


def test_a_plan_of_other_than_words_is_shown(run: Path, tmp_path: Path) -> None:
    (run / "plan.json").write_text('[{"choice": 3.5, "value": 1, "reason": null}]')
    write_report([run], tmp_path / "page.html")
    assert "<td>3.5</td><td>1</td><td>None</td>" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    "line",
    ["[]", "3", '{"step": "x"}', '{"step": -1}', '{"kind": "train", "step": 1, "seconds": "x"}', "[" * 5000,
     '{"step": 1, "step": 2}', '{"step": 1.5}', '{"step": 1, "loss": [1]}'],
)  # fmt: skip
def test_a_log_of_other_lines_is_refused(line: str, run: Path, tmp_path: Path) -> None:
    (run / "log.jsonl").write_text(f"{line}\n")
    with pytest.raises(ModelError, match="line 1 is damaged"):
        write_report([run], tmp_path / "page.html")


@pytest.mark.parametrize("record", ["{", "[1]", "3", '{"inputs": 1}', '{"inputs": {"a": 1}}'])
def test_provenance_of_another_form_is_told(record: str, samples: Path, tmp_path: Path) -> None:
    (samples / "provenance.json").write_text(record)
    if not record.startswith('{"'):
        with pytest.raises(DataError, match=r"provenance\.json is damaged"):
            read_provenance(samples)
    else:
        write_report([samples], tmp_path / "page.html")


@pytest.mark.parametrize("about", [[1], {"mask_classes": 3}, {"network_calls": "x"}, {"process": ["none"]}])
def test_predictions_with_another_summary_are_told(about: Any, predictions: Path) -> None:
    (predictions / "summary.json").write_text(json.dumps(about))
    (predictions / "manifest.csv").write_text("id,mask,review_rank\na,masks/a.png,1\n")
    with pytest.raises(DataError, match=r"summary\.json is damaged"):
        model_name(predictions)


@pytest.mark.parametrize("name", ["../secret.png", "{outside}", "a/../../secret.png", "link.png", "a\0b"])
def test_a_table_names_only_files_of_its_folder(name: str, samples: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(outside)
    (samples / "link.png").symlink_to(outside)
    with pytest.raises(DataError, match="outside of the folder"):
        inside(samples, name.format(outside=outside))
    assert inside(samples, "a/b.png") == samples / "a/b.png"


def test_a_page_shows_no_file_outside_of_its_folders(samples: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "secret.png")
    shutil.rmtree(samples / "grids", ignore_errors=True)
    lines = (samples / "manifest.csv").read_text().splitlines()
    place = lines[0].split(",").index("file")
    cells = lines[1].split(",")
    cells[place] = "../secret.png"
    (samples / "manifest.csv").write_text("\n".join([lines[0], ",".join(cells)]) + "\n")
    try:
        page = write_report([samples], tmp_path / "page.html").read_text()
    except DataError as error:
        page = str(error)
    assert "outside of the folder" in page
