"""Where `prepare` keeps finished chunks until all are there: `.<name>.preparing` beside the folder to be written.

A prepare that was killed is continued by the same command: the spool has the key of what it was made from (the files
with their sizes and times, and all that changes a chunk), and chunks that are whole are used again. Another key empties
it. The spool is removed at success, and on an error that a person has to mend.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfumato.atomic import write_atomic
from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.lock import HOLDER, LOCK, FolderLock

FORM = 2
"""Version of the form of chunks; a spool of another version is emptied."""


def spool_folder(out: Path) -> Path:
    """The spool of an output folder."""
    return out.with_name(f".{out.name}.preparing")


def key_of(cases: Sequence[Case], what: object) -> str:
    """The key of a spool.

    Args:
        cases: what is decoded; their files count with size and time of change.
        what: all else that changes a chunk; its `repr` counts.
    """
    digest = hashlib.blake2b(repr((FORM, what)).encode(), digest_size=16)
    times: dict[str, tuple[int, int] | None] = {}
    for case in cases:
        masks = [part.locator for mask in case.masks for part in mask_parts(mask)]
        locators = (case.image, *case.channels, *masks)
        digest.update(repr((case.id, case.volume, locators, case.masks)).encode())
        for locator in locators:
            file = str(Locator.parse(locator).path)
            if file not in times:
                times[file] = _changed(Path(file))
                digest.update(repr((file, times[file])).encode())
    return digest.hexdigest()


def _changed(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@contextmanager
def opened_spool(folder: Path, key: str) -> Iterator[Path]:
    """The spool, held by this process, with what an earlier process left there under the same key.

    Raises:
        UsageError: another process prepares into the same folder.
    """
    with FolderLock(folder, work="prepares") as lock:
        mark = folder / "key"
        if not mark.is_file() or mark.read_text(encoding="utf-8") != key:
            empty(folder)
            write_atomic(mark, key, sync=False)
        try:
            yield folder
        except Exception:
            lock.remove_folder()
            raise
        lock.remove_folder()


def empty(folder: Path) -> None:
    """Remove all but the files of the lock."""
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name not in (LOCK, HOLDER):
            entry.unlink()
