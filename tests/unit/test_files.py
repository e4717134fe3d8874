"""Only regular files are opened, and no opening waits."""

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

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
