"""Only regular files are opened, and no opening waits."""

import ast
import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sfumato
from sfumato.files import open_file, read_file, read_text


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
    others = {"Pack.open(", "archive.open(", "Image.open(", "importlib", "self._client", "os.open("}
    assert not {call for call in found if not any(other in call for other in others)}
