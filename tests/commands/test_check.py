"""`sfumato check` as a person meets it: what is told, written and returned, and the page."""

import errno
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.builder.data import build_hints
from sfumato.cli import main
from sfumato.data.toys.messy import make_messy
from sfumato.recipe import load_recipe

EVIL = "x<img src=q onerror=alert(1)>"


def call(*words: object) -> int:
    """Exit code of a command."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Seven pairs: one image cut short, one mask inverted, one name that is HTML."""
    folder, rng = tmp_path / "scans", np.random.default_rng(0)
    names = [*(f"c{number}" for number in range(6)), EVIL]
    for name in names:
        mask = np.zeros((32, 32), np.uint8)
        mask[8:14, 8:20] = 255
        save(folder / "images" / f"{name}.png", rng.integers(0, 255, (32, 32), np.uint8))
        save(folder / "masks" / f"{name}.png", 255 - mask if name in ("c1", EVIL) else mask)
    broken = folder / "images" / "c2.png"
    broken.write_bytes(broken.read_bytes()[:90])
    return folder


def test_errors_are_told_and_end_with_3(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", source, "--report", tmp_path / "check.html", "--json") == 3
    told = capsys.readouterr()
    assert "c2.png" in told.err and "DATA-006" in told.err and "DATA-076" in told.err and "Traceback" not in told.err
    assert "error DATA-070: 1 error, 1 warning in" in told.err and "check.html" in told.err
    result = json.loads(told.out)
    assert [finding["code"] for finding in result["findings"]][:2] == ["DATA-006", "DATA-076"]
    assert len(result["findings"][1]["files"]) == 2 and result["fingerprint"]["cases"] == 7
    assert Path(result["report"]).is_file()


def test_a_good_set_ends_with_0_and_writes_a_folder(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("images", "masks"):
        (source / folder / "c2.png").unlink()
    assert call("check", source, "--out", tmp_path / "out", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "check.html",
        "findings.csv",
        "fingerprint.json",
        "local.json",
        "provenance.json",
    ]
    assert json.loads((tmp_path / "out" / "fingerprint.json").read_text()) == result["fingerprint"]
    assert call("check", source, "--out", tmp_path / "out") == 2
    assert call("check", source, "--out", tmp_path / "out", "--overwrite") == 0


def test_the_page_escapes_names_and_shows_the_findings(source: Path, tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    call("check", source, "--report", page)
    text = page.read_text()
    assert "<img src=q" not in text and "&lt;img src=q" in text
    assert ">Check</a>: " in text, "a section without a name has no space behind its title"
    assert "DATA-006" in text and "cannot be shown" in text and text.count("data:image/png") == 10
    assert "http://" not in text and "https://" not in text and "<script" not in text


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_no_script_runs_in_a_browser(source: Path, tmp_path: Path) -> None:
    page = tmp_path / "check.html"
    call("check", source, "--report", page)
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    shown = subprocess.run(["chromium", *flags, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    assert EVIL.replace("<", "&lt;").replace(">", "&gt;") in shown.stdout and 'onerror="' not in shown.stdout


def test_a_corrected_copy_has_no_errors(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", source, "--fix-into", tmp_path / "fixed") == 0
    assert "changes.csv" in capsys.readouterr().err
    assert call("check", tmp_path / "fixed") == 0
    assert "DATA-076" not in capsys.readouterr().err
    assert call("check", source, "--fix-into", source / "inside") == 2 and not (source / "inside").exists()


def test_every_defect_of_the_messy_toy_is_found_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_messy(tmp_path / "toy", size=64)
    assert call("check", tmp_path / "toy", "--json", "--workers", "1") == 3
    findings = json.loads(capsys.readouterr().out)["findings"]
    files = {finding["code"]: {Path(file).name for file in finding["files"]} for finding in findings}
    for defect in json.loads((tmp_path / "toy" / "defects.json").read_text()):
        assert defect["code"] is None or Path(defect["file"]).name in files.get(defect["code"], ()), defect
    assert call("check", tmp_path / "toy", "--fix-into", tmp_path / "fixed", "--workers", "1") == 0
    assert call("check", tmp_path / "fixed", "--workers", "1") == 0


def test_a_dry_run_refuses_the_outputs_that_the_command_would(source: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").touch()
    for words in (("--out", tmp_path / "there"), ("--fix-into", source / "copy"), ("--report", tmp_path / "there")):
        assert call("check", source, *words, "--dry-run") == 2


def test_what_is_found_is_told_where_it_cannot_be_written(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sfumato.verbs.check.write_atomic", full)
    assert call("check", source, "--report", tmp_path / "check.html") == 4
    said = capsys.readouterr().err
    assert "DATA-006" in said and "the disk is full" in said and said.index("DATA-006") < said.index("the disk is full")


def test_a_dry_run_reads_no_image(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", source, "--out", tmp_path / "out", "--dry-run") == 0
    assert "would read 7 cases" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_files_without_partner(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "images" / "c2.png").unlink()
    (source / "masks" / "c3.png").unlink()
    assert call("check", source) == 3
    told = capsys.readouterr().err
    assert "DATA-010" in told and "2 images or masks have no partner" in told and "c3.png" in told
    assert call("check", source, "--drop-unpaired") == 0


def test_a_table_behind_a_flag_is_named_as_it_is_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my scans"
    for number in range(6):
        save(folder / f"{number}.png", np.full((16, 16), 40 * number, np.uint8))
    for name, said in (("one", [0, 1, 0, 1, 0, 1]), ("two", [0, 0, 0, 1, 1, 1])):
        rows = [f"{number},{label}" for number, label in enumerate(said)]
        (folder / f"{name}.csv").write_text("\n".join(["id,label", *rows]))
    call("check", folder)
    told = " ".join(capsys.readouterr().err.split())
    assert f"choose one with --labels '{folder}/one.csv' or --labels '{folder}/two.csv'" in told
    assert call("check", folder, "--labels", folder / "one.csv") == 0


def test_few_masks_of_many_images_are_kept_with_a_flag(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in sorted((source / "masks").iterdir())[1:]:
        name.unlink()
    assert call("check", source) == 3
    told = " ".join(capsys.readouterr().err.split())
    assert "--drop-unpaired, which keeps the 1 image that has a mask, and leaves 6 out" in told
    assert "much alike" not in told
    assert call("check", source, "--drop-unpaired") == 0


def test_no_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("check", tmp_path / "gone") == 3
    assert "does not exist" in capsys.readouterr().err


def test_names_that_are_not_shown_are_in_a_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken = [path for path in sorted((source / "images").iterdir()) if path.name.startswith("c")]
    for path in broken:
        path.write_bytes(b"")
    assert call("check", source) == 3
    said = capsys.readouterr().err
    named = re.search(r"  all of it: (.*)\n$", said)
    assert named is not None and "... and 1 more" in said
    told = Path(named[1]).read_text()
    assert len(broken) == 6 and all(str(path) in told for path in broken)
    assert call("check", source, "--out", tmp_path / "out") == 3
    assert "all of it" not in capsys.readouterr().err
    rows = (tmp_path / "out" / "findings.csv").read_text().splitlines()
    assert rows[0] == "severity,code,finding,file" and sum("DATA-003" in row for row in rows) == 6


def test_outlines_are_filled_in_check_and_in_a_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """HC18: the foreground is what the line encloses, and the dataset keeps what was said."""
    rows, columns = np.mgrid[:32, :32]
    radius = np.hypot(rows - 16, columns - 16)
    for number in range(6):
        save(
            tmp_path / "scans" / f"{number}_HC.png", np.random.default_rng(number).integers(0, 255, (32, 32), np.uint8)
        )
        line = np.where(np.abs(radius - 12) < 0.8, 255, 0).astype(np.uint8)
        save(tmp_path / "scans" / f"{number}_HC_Annotation.png", line)
    assert call("check", tmp_path / "scans", "--fill-outlines") == 0
    assert "outlines are filled in 6 masks" in capsys.readouterr().err
    assert build_hints(load_recipe("segment", settings=["data.source.fill_outlines=true"]).data).fill_outlines
    assert call("prepare", tmp_path / "scans", "--fill-outlines", "--size", 32, "--out", tmp_path / "set") == 0
    assert json.loads((tmp_path / "set/dataset.json").read_text(encoding="utf-8"))["reading"] == {"fill_outlines": True}
    assert (np.load(tmp_path / "set/masks.npy").reshape(6, 32, 32) == (radius < 12.8)).all()
