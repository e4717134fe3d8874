"""The command line as a person meets it: exit codes, messages without traceback, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.cli import COMMANDS, main


def call(*words: object) -> int:
    """Exit code of a command."""
    try:
        main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def images(folder: Path, count: int = 4, side: int = 20) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(count):
        Image.fromarray(rng.integers(0, 255, (side, side), np.uint8)).save(folder / f"case{k}.png")
    return folder


def masks(folder: Path, count: int = 4, side: int = 20) -> Path:
    folder.mkdir(parents=True)
    for k in range(count):
        mask = np.zeros((side, side), np.uint8)
        mask[4:12, 4 + k : 12] = 255
        Image.fromarray(mask).save(folder / f"case{k}_mask.png")
    return folder


def test_help_imports_no_torch() -> None:
    code = (
        "import sys; from sfumato.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules), sorted(sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for _, name, _, about in COMMANDS[:3]:
        assert name in shown.stdout and about.split()[0] in shown.stdout


@pytest.mark.parametrize(("parent", "name"), [(parent.name[0], name) for parent, name, _, _ in COMMANDS])
def test_every_command_documents_every_parameter(parent: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [name] if parent == "sfumato" else [parent, name]
    assert call(*words, "--help") == 0
    shown = capsys.readouterr().out
    table = shown.partition("Parameters")[2]
    rows = [line for line in table.splitlines() if "--" in line and line.startswith("│")]
    assert rows or name in ("info", "doctor")
    bare = [row for row in rows if not row.partition("--")[2].strip("│ ").partition(" ")[2].strip()]
    assert not bare, "a parameter without a description"


def test_a_wrong_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("toy", "x", "--casez", "3") == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("train.stepz=3", "did you mean steps"),
        ("train.batch=-1", "train.batch"),
        ("network.chanels=3", "did you mean channels"),
        ("process.kind=edn", "edm"),
        ("nonsense", "a.b=c"),
        ("train.steps=x", "train.steps"),
    ],
)
def test_a_wrong_recipe_names_path_and_nearest_key(
    setting: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", "segment", tmp_path, "--set", setting, "--out", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert told in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_two_counts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("train", "segment", tmp_path, "--steps", 3, "--images", 2) == 2
    assert "give one of them" in capsys.readouterr().err


def test_missing_empty_and_unmatched_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "dataset"
    assert call("prepare", tmp_path / "nowhere", "--out", out) == 3
    (tmp_path / "empty").mkdir()
    assert call("prepare", tmp_path / "empty", "--out", out) == 3
    images(tmp_path / "scans", count=5), masks(tmp_path / "outlines", count=3)
    assert call("prepare", tmp_path / "scans", "--masks", tmp_path / "outlines", "--out", out) == 3
    error = capsys.readouterr().err
    assert "case3" in error and "case4" in error and "Traceback" not in error
    assert not out.exists()


def test_all_bad_files_are_listed_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans, outlines = images(tmp_path / "scans"), masks(tmp_path / "outlines")
    (scans / "case1.png").write_bytes((scans / "case1.png").read_bytes()[:80])
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(outlines / "case2_mask.png")
    assert call("prepare", scans, "--masks", outlines, "--out", tmp_path / "dataset") == 3
    error = capsys.readouterr().err
    assert "case1.png" in error and "case2" in error and "9 x 9" in error and "20 x 20" in error
    assert not (tmp_path / "dataset").exists()


def test_output_that_is_not_empty_is_refused_and_kept(
    tmp_path: Path, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious.txt").write_text("mine")
    assert call("toy", out, "--cases", 2) == 2
    assert call("prepare", dataset, "--out", out) == 2
    assert call("train", "segment", dataset, "--out", out, "--steps", 1) == 2
    assert (out / "precious.txt").read_text() == "mine" and len(list(out.iterdir())) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert call("toy", out, "--cases", 2, "--size", 16, "--overwrite") == 2
    assert (out / "precious.txt").read_text() == "mine", "nothing is replaced that sfumato did not write"
    assert "sfumato did not write it" in capsys.readouterr().err
    for word in ((), ("--overwrite",)):
        assert call("toy", tmp_path / "made", "--cases", 2, "--size", 16, *word) == 0


def test_output_inside_the_input_is_refused(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("prepare", toy, "--out", toy / "inside", "--size", 16) == 2
    assert "overlap" in capsys.readouterr().err and not (toy / "inside").exists()


def test_a_failed_command_keeps_what_it_would_have_replaced(tmp_path: Path) -> None:
    scans = images(tmp_path / "scans")
    out = tmp_path / "dataset"
    assert call("prepare", scans, "--out", out, "--size", 16) == 0
    before = (out / "images.npy").read_bytes()
    (scans / "case0.png").write_text("no image")
    assert call("prepare", scans, "--out", out, "--size", 16, "--overwrite") == 3
    assert (out / "images.npy").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_impossible_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = images(tmp_path / "scans")
    for size in ("0", "12y", "3x4x5"):
        assert call("prepare", scans, "--out", tmp_path / "out", "--size", size) == 2
    assert "--size" in capsys.readouterr().err


def test_models_that_cannot_be_used(tmp_path: Path, segment_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scans = images(tmp_path / "scans")
    (tmp_path / "model.pt").write_bytes(b"\x80\x04cposix\nsystem\n")
    (tmp_path / "cut.safetensors").write_bytes(
        (segment_run / "checkpoints").glob("step-*/ema.safetensors").__next__().read_bytes()[:-9]
    )
    (tmp_path / "empty").mkdir()
    for name in ("model.pt", "cut.safetensors", "empty", "nowhere"):
        assert call("segment", tmp_path / name, scans, "--out", tmp_path / "out") == 5, name
    error = capsys.readouterr().err
    assert "pickle" in error and "Traceback" not in error and not (tmp_path / "out").exists()


def test_wrong_task_and_wrong_class(generate_run: Path, segment_run: Path, tmp_path: Path) -> None:
    scans = images(tmp_path / "scans")
    assert call("segment", generate_run, scans, "--out", tmp_path / "out") == 2
    assert call("generate", segment_run, "--out", tmp_path / "out") == 2
    assert call("generate", generate_run, "--out", tmp_path / "out", "--class_", "nobody") == 2
    assert not (tmp_path / "out").exists()


def test_info_tells_of_a_checkpoint(segment_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (*_, checkpoint) = sorted((segment_run / "checkpoints").glob("step-*"))
    assert call("info", checkpoint, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["task"], result["step"]) == ("segment", 60) and result["parameters"] > 0


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", tmp_path, "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_asks_to_be_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import sfumato.commands.info

    monkeypatch.setattr(sfumato.commands.info.Run, "exists", lambda self: 1 / 0)  # noqa: ARG005
    assert call("info", "nothing") == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error and "report it" in error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "file.npy"), MemoryError()])
def test_out_of_disk_and_memory(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    import sfumato.commands.info

    def fail(self: object) -> bool:
        raise error

    monkeypatch.setattr(sfumato.commands.info.Run, "exists", fail)
    assert call("info", "nothing") == 4


def test_dry_runs_write_nothing(tmp_path: Path, toy: Path, segment_run: Path, generate_run: Path) -> None:
    out = tmp_path / "out"
    assert call("toy", out, "--dry-run") == 0
    assert call("prepare", toy, "--out", out, "--dry-run") == 0
    assert call("train", "segment", toy, "--out", out, "--dry-run") == 0
    assert call("train", "generate", toy, "--out", out, "--dry-run") == 0
    assert call("segment", segment_run, toy, "--out", out, "--dry-run") == 0
    assert call("generate", generate_run, "--out", out, "--dry-run") == 0
    assert call("resume", segment_run, "--dry-run") == 0
    assert not out.exists()


def test_json_is_alone_on_stdout(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", dataset, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["size"] == [16, 16] and result["readers"] == 2


def test_modules_of_the_current_folder_are_not_imported(tmp_path: Path) -> None:
    """`python -m` puts it first, and so do worker processes unless they are told not to."""
    for name in ("typing", "cyclopts", "yaml", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    done = subprocess.run([sys.executable, "-m", "sfumato", "--version"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "imported" not in done.stderr
    assert call("--version") == 0 and os.environ["PYTHONSAFEPATH"] == "1"


@pytest.mark.parametrize("words", [["--allow-code", "nets.py"], ["--allow-code=nets.py"]])
def test_code_is_allowed_from_anywhere_in_a_command(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[Path] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sfumato.networks.factory._allowed", allowed)
    assert call("doctor", *words) == 2 and not allowed, "there is no such file"
    Path("nets.py").touch()
    assert call("--version", *words) == 0 and allowed == [tmp_path / "nets.py"]
    assert call("--version", "--allow-code") == 2


def test_a_value_may_begin_with_a_dash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "x"
    images(folder)
    for image in folder.glob("*.png"):
        image.rename(folder / f"t-{image.stem[4:]}-v.png")
    assert call("check", folder, "--group-by", r"-(\d)-") == 0
    assert "4 groups" in capsys.readouterr().err
    assert call("check", folder, "--group-by", r"-v(\d)") == 2
    assert r"is written behind an equals sign: --group-by='-v(\d)'" in capsys.readouterr().err
    assert call("check", folder, "--group-by") == 2
    assert "equals sign" not in capsys.readouterr().err
