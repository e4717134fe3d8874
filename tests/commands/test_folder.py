"""Output folders: nothing is lost that a command did not make, and nothing is left of one that was killed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sfumato.errors import ResourceError, UsageError
from sfumato.experiment.claim import Claim, census
from sfumato.experiment.output_folder import claim_output, claim_output_file, output_file, output_folder
from sfumato.lock import FolderLock
from sfumato.provenance import write_provenance


def result(folder: Path, word: str = "old") -> Path:
    """A folder as a command of sfumato writes it."""
    folder.mkdir(parents=True)
    (folder / "scores.csv").write_text(word)
    write_provenance(folder, inputs={})
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_text("years")


def make_file(path: Path) -> None:
    path.write_text("years")


@pytest.mark.parametrize("make", [make_folder, make_file, Path.mkdir])
def test_what_appears_meanwhile_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="appeared") as refused, output_folder(out) as folder:
        (folder / "scores.csv").write_text("new")
        make(out)
        there = census(out)
    assert census(out) == there
    kept = tmp_path / "out-2"
    assert (kept / "scores.csv").read_text() == "new"
    assert str(kept) in refused.value.remedy
    assert names(tmp_path) == {"out", "out-2"}


def test_the_first_free_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out-2").mkdir()
    with pytest.raises(UsageError), output_folder(tmp_path / "out"):
        make_folder(tmp_path / "out")
    assert names(tmp_path) == {"out", "out-2", "out-3"}
    assert not names(tmp_path / "out-2")


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    out = result(tmp_path / "out")
    out.chmod(0o750)
    with output_folder(out, overwrite=True) as folder:
        (folder / "masks").mkdir()
    assert names(out) == {"masks"}
    assert names(tmp_path) == {"out"}
    assert out.stat().st_mode & 0o777 == 0o750


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".DS_Store").write_text("a window of a file manager")
    with output_folder(out) as folder:
        (folder / "masks").mkdir()
    assert "masks" in names(out)
    assert names(tmp_path) == {"out"}


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_added_to_a_replaced_folder_stays(tmp_path: Path, deep: bool) -> None:
    out = result(tmp_path / "out")
    (out / "masks").mkdir()
    with pytest.raises(UsageError, match="changed"), output_folder(out, overwrite=True) as folder:
        (folder / "scores.csv").write_text("new")
        (out / ("masks" if deep else "") / "thesis.txt").write_text("years")
    assert (out / "scores.csv").read_text() == "old"
    assert list(out.rglob("thesis.txt"))
    assert (tmp_path / "out-2" / "scores.csv").read_text() == "new"


def test_a_folder_that_took_the_place_of_the_replaced_one_stays(tmp_path: Path) -> None:
    out = result(tmp_path / "out")
    with pytest.raises(UsageError, match="changed"), output_folder(out, overwrite=True):
        out.rename(tmp_path / "moved")
        result(out, "another")
    assert (out / "scores.csv").read_text() == "another"


def test_a_claim_from_before_the_work_counts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim = claim_output(out, overwrite=True)
    result(out, "of another process")
    with pytest.raises(UsageError, match="appeared"), claim.folder():
        pass
    assert (out / "scores.csv").read_text() == "of another process"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_appears_meanwhile_stays(tmp_path: Path, overwrite: bool) -> None:
    out = tmp_path / "set.zip"
    if overwrite:
        out.write_text("old")
    with pytest.raises(UsageError, match="appeared or was changed"), output_file(out, overwrite=overwrite) as draft:
        draft.write_text("new")
        out.write_text("of somebody else")
    assert out.read_text() == "of somebody else"
    assert (tmp_path / "set-2.zip").read_text() == "new"
    assert names(tmp_path) == {"set.zip", "set-2.zip"}


def test_a_file_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "set.zip"
    out.write_text("old")
    with output_file(out, overwrite=True) as draft:
        draft.write_text("new")
    assert out.read_text() == "new"
    assert names(tmp_path) == {"set.zip"}


def test_a_failed_command_leaves_all_as_it_was(tmp_path: Path) -> None:
    out = result(tmp_path / "out")
    before = census(out)
    with pytest.raises(ZeroDivisionError), output_folder(out, overwrite=True) as folder:
        (folder / "half").write_text("x")
        _ = 1 / 0
    assert census(out) == before
    assert names(tmp_path) == {"out"}


def test_only_outputs_are_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    make_folder(home)
    with pytest.raises(UsageError, match="sfumato did not write it"):
        claim_output(home, overwrite=True)
    (home / "provenance.json").write_text('{"versions": {"another": "1.0"}}')
    with pytest.raises(UsageError, match="sfumato did not write it"):
        claim_output(home, overwrite=True)


@pytest.mark.parametrize("below", ["", "runs/first"])
def test_trainings_are_never_replaced(tmp_path: Path, below: str) -> None:
    out = result(tmp_path / "out")
    (out / below).mkdir(parents=True, exist_ok=True)
    (out / below / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="a training is in it"):
        claim_output(out, overwrite=True)


@pytest.mark.parametrize("kind", ["inputs", "used"])
def test_what_is_read_is_never_replaced(tmp_path: Path, kind: str) -> None:
    out = result(tmp_path / "out")
    (out / "model.safetensors").write_text("weights")
    with pytest.raises(UsageError, match="overlap"):
        claim_output(out, overwrite=True, **{kind: [out / "model.safetensors"]})


def test_a_link_is_followed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    out = tmp_path / "out"
    out.symlink_to(disk / "results")
    with output_folder(out) as folder:
        (folder / "masks").mkdir()
    assert out.is_symlink()
    assert names(disk) == {"results"}
    assert names(out) == {"masks"}


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UsageError, match="cannot be resolved"):
        claim_output(tmp_path / "a")


def test_the_folder_of_the_shell_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = result(tmp_path / "out")
    monkeypatch.chdir(out)
    number = out.stat().st_ino
    with output_folder(Path(), overwrite=True) as folder:
        (folder / "masks").mkdir()
        (folder / "provenance.json").write_text("{}")
    assert out.stat().st_ino == number
    assert names(out) == {"masks", "provenance.json"}
    assert names(tmp_path) == {"out"}


def test_a_mount_point_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    (out / "lost+found").mkdir(parents=True)
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path) == out)
    with output_folder(out) as folder:
        assert folder.is_relative_to(out)
        (folder / "masks").mkdir()
    assert names(out) == {"lost+found", "masks"}


def test_a_mount_point_that_does_not_look_like_one_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, rename = tmp_path / "out", Path.rename
    out.mkdir()

    def busy(self: Path, target: Path) -> Path:
        if self == out:
            raise OSError(16, "Device or resource busy", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", busy)
    with output_folder(out) as folder:
        (folder / "masks").mkdir()
    assert names(out) == {"masks"}
    assert names(tmp_path) == {"out"}


def test_a_folder_that_cannot_be_filled_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, move = result(tmp_path / "out"), shutil.move
    before = names(out)
    monkeypatch.chdir(out)

    def full(source: Path, target: Path) -> None:
        if Path(source).name == "b":
            raise OSError(28, "No space left on device", str(target))
        move(source, target)

    monkeypatch.setattr(shutil, "move", full)
    with pytest.raises(ResourceError, match="No space left"), output_folder(out, overwrite=True) as folder:
        for name in ("a", "b", "c"):
            (folder / name).mkdir()
    assert names(out) == before | {"out"}
    assert (out / "scores.csv").read_text() == "old" and names(out / "out") == {"a", "b", "c"}


def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("text")
    with pytest.raises(UsageError, match="is a file"):
        claim_output(tmp_path / "notes" / "out")


def test_a_place_without_rights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ResourceError, match="nobody may write"):
        claim_output_file(tmp_path / "set.zip")


def test_work_is_kept_where_the_name_cannot_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = result(tmp_path / "out")
    rename = Path.rename

    def denied(self: Path, target: Path) -> Path:
        if self == out:
            raise PermissionError(13, "Permission denied", str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", denied)
    with pytest.raises(ResourceError, match="Permission denied") as refused, output_folder(out, overwrite=True) as new:
        (new / "scores.csv").write_text("new")
    assert "out-2" in refused.value.remedy
    assert (tmp_path / "out-2" / "scores.csv").read_text() == "new"
    assert (out / "scores.csv").read_text() == "old"


def killed(code: str, out: Path) -> None:
    """Run some lines that kill themselves."""
    lines = "import os, signal\nfrom pathlib import Path\nfrom sfumato.experiment.output_folder import *\n"
    lines += f"out = Path({str(out)!r})\n{code}\n"
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr


def test_a_killed_command_is_cleared_up_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed("with output_folder(out) as folder:\n    os.kill(os.getpid(), signal.SIGKILL)", out)
    assert len(names(tmp_path)) == 1
    claim_output(out)
    assert not names(tmp_path)


def test_a_command_killed_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    out = result(tmp_path / "out")
    code = "import sfumato.experiment.claim as claim\n"
    code += "claim._rename = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n"
    code += "with output_folder(out, overwrite=True) as folder:\n    pass"
    killed(code, out)
    assert not out.exists()
    claim_output(out, overwrite=True)
    assert (out / "scores.csv").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_two_commands_of_one_output(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out):
        with pytest.raises(UsageError, match=rf"{out}: another process writes here \(pid {os.getpid()}\)"):
            claim_output(out)
        claim_output(tmp_path / "out2")


def test_folders_of_others_are_not_cleared_up(tmp_path: Path) -> None:
    for name in (".out.staging-area", ".out.staging-", "out.staging-12ab"):
        make_folder(tmp_path / name)
    claim_output(tmp_path / "out")
    assert len(names(tmp_path)) == 3


def test_a_disk_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(self: FolderLock) -> FolderLock:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(FolderLock, "__enter__", without)
    with output_folder(tmp_path / "out"):
        Claim.of(tmp_path / "out")
        assert len(names(tmp_path)) == 1  # of the process at work: nobody can say that it is gone
    assert names(tmp_path) == {"out"}


def test_of_two_that_claimed_a_name_at_once_the_second_is_refused(tmp_path: Path) -> None:
    first, second = Claim.of(tmp_path / "out"), Claim.of(tmp_path / "out")
    with first.folder() as folder:
        (folder / "a").write_text("1")
        with pytest.raises(UsageError, match=r"out: another process writes here"), second.folder():
            pytest.fail("two write")
    assert (tmp_path / "out/a").read_text() == "1" and [path.name for path in tmp_path.iterdir()] == ["out"]
