"""Only regular files are opened, and no opening waits."""

import ast
import errno
import os
import re
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sfumato
from sfumato.experiment.journal import JOURNAL_FILE, Journal
from sfumato.files import append_to, matching, matching_below, open_file, read_file, read_text
from sfumato.lock import HOLDER, LOCK, FolderLock
from sfumato.training.checkpoint import mark, sweep
from sfumato.training.log import Log


def pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_pipe(path: Path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    place = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as end:  # by a short name: the system allows 108 bytes
        end.bind(f"/proc/self/fd/{place}/{path.name}")
    os.close(place)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (pipe, "a named pipe"),
        (link_to_pipe, "a named pipe"),
        (folder, "a folder"),
        (device, "a device"),
        (bound, "a socket"),
    ],
)
def test_what_is_no_file_is_refused_in_words(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    make(tmp_path / "scan.png")
    for read in (open_file, read_file, read_text):
        with pytest.raises(OSError, match=f"it is {told}, not a file") as caught:
            read(tmp_path / "scan.png")
        assert caught.value.filename == str(tmp_path / "scan.png")


def link_to_a_file(path: Path) -> None:
    path.with_suffix(".theirs").write_text("theirs")
    path.symlink_to(path.with_suffix(".theirs"))


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_suffix(".nothing"))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (pipe, "a named pipe"), (link_to_pipe, "a link"), (folder, "a folder"), (device, "a link"), (bound, "a socket"),
        (link_to_a_file, "a link"), (link_to_nothing, "a link"),
    ],
)  # fmt: skip
def test_nothing_but_a_file_is_added_to(make: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    make(tmp_path / "log")
    with pytest.raises(OSError, match=f"it is {told}, not a file"):
        append_to(tmp_path / "log")
    assert not (tmp_path / "log.nothing").exists()
    for content in (b"a", b"b"):
        with append_to(tmp_path / "other") as file:
            file.write(content)
    assert (tmp_path / "other").read_bytes() == b"ab"


def write_log(folder: Path) -> None:
    with Log(folder / "log.jsonl") as log:
        log.write({"step": 1})


def hold(folder: Path) -> None:
    try:
        with FolderLock(folder, work="trains"):
            pass
    except OSError as refused:
        assert refused.strerror == "it is a link, not a file"


WRITERS = {
    LOCK: hold,
    HOLDER: hold,
    JOURNAL_FILE: lambda folder: Journal(folder).note("a line"),
    "log.jsonl": write_log,
    ".staging-best": lambda folder: mark(folder, "best", folder / "step-1"),
}  # fmt: skip
"""Who writes in the folder of a run under names that may be there already."""


@pytest.mark.parametrize("make", [link_to_a_file, link_to_nothing, pipe])
@pytest.mark.parametrize("name", WRITERS)
def test_in_the_folder_of_a_stranger_no_link_is_written_through_and_no_pipe_waited_for(
    name: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / name)
    theirs = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".theirs"}
    if name != "log.jsonl" or make is not pipe:  # a pipe is refused when the log is read
        WRITERS[name](tmp_path)
    assert all(path.read_bytes() == content for path, content in theirs.items())
    assert not (tmp_path / name).with_suffix(".nothing").exists()


def test_a_link_to_a_folder_is_swept_and_the_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.staging-1").symlink_to(tmp_path / "theirs")
    sweep(tmp_path / "run")
    assert (tmp_path / "theirs").is_dir() and not os.path.lexists(tmp_path / "run/.staging-1")


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(b"a")
    regular = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda _: regular)
    assert stat.S_ISREG(path.stat().st_mode)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(OSError, match="a named pipe"):
        open_file(path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_files_and_links_to_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfx\r\ny")
    (tmp_path / "b").symlink_to("a")
    assert read_file(tmp_path / "b") == b"\xef\xbb\xbfx\r\ny"
    assert read_text(tmp_path / "b", encoding="utf-8-sig") == "x\ny"
    assert read_text(tmp_path / "b", encoding="utf-8-sig", newline="") == "x\r\ny"
    with open_file(tmp_path / "a") as file:
        assert file.name is not None and file.read(1) == b"\xef" and file.seekable()
    with pytest.raises(FileNotFoundError, match="No such file"):
        read_file(tmp_path / "c")
    (tmp_path / "c").symlink_to("d")
    with pytest.raises(FileNotFoundError, match="it is a link to what is not there"):
        read_file(tmp_path / "c")


OPENING = {"open", "read_text", "read_bytes"}
"""Methods of paths that open a file."""

OWN = {
    "atomic.py",
    "files.py",
    "tables.py",
    "lock.py",
    "data/preparation/chunk.py",
    "data/preparation/spool.py",
    "data/preparation/store.py",
    "data/toys/messy.py",
    "networks/factory.py",
    "networks/own.py",
    "terminal.py",
}
"""Modules that read back what they wrote a moment ago, what is installed, or nothing (devnull)."""


def reads(tree: ast.AST) -> Iterator[str]:
    """Calls that open a path for reading, in the words of the module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        modes = [each.value for each in (*node.args, *(word.value for word in node.keywords if word.arg == "mode"))
                 if isinstance(each, ast.Constant) and isinstance(each.value, str)]  # fmt: skip
        path = isinstance(node.func, ast.Attribute) and name in OPENING
        if (path or name == "open") and not any(set(mode) & set("wax+") and len(mode) < 4 for mode in modes):
            yield ast.unparse(node)


def test_no_other_module_opens_files_for_reading() -> None:
    source = Path(sfumato.__file__).parent
    found = {
        f"{path.relative_to(source).as_posix()}: {call}"
        for path in source.rglob("*.py")
        if path.relative_to(source).as_posix() not in OWN
        for call in reads(ast.parse(path.read_text(encoding="utf-8")))
    }
    others = {"Dataset.open(", "archive.open(", "Image.open(", "importlib", "self._client", "os.open("}
    assert not {call for call in found if not any(other in call for other in others)}


def test_what_matches_is_found_and_what_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("step-2", "step-10", ".step-3", "other", "below/step-4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in matching(tmp_path, "step-*")] == ["step-10", "step-2"]
    assert [path.name for path in matching_below(tmp_path, "step-*")] == ["step-10", "step-2", "step-4"]
    for path in (tmp_path / "nowhere", tmp_path / "other"):
        assert matching(path, "*") == list(matching_below(path, "*")) == []

    def no_more_files(_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "scandir", no_more_files)
    for search in (matching, matching_below):
        with pytest.raises(OSError, match="Too many open files"):
            list(search(tmp_path, "*"))


def test_no_module_searches_by_glob() -> None:
    """`Path.glob` of Python 3.13 is silent about folders that cannot be read."""
    sources = Path(sfumato.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if re.search(r"\.r?glob\(", path.read_text("utf-8"))] == []
