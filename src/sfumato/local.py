"""Where files lie on this machine, apart from all that may be passed on.

Folders are often called after patients. So what a command writes names a file below its own folder, or below another
folder that sfumato wrote, by a relative path that names no further folder; any other by `local:` and a hash of its
path. The path itself is in

    FOLDER/local.json   mode 0600: {"place": where FOLDER lies, "paths": {name: path}, "command": as it was typed,
                        "maker": a hash of this machine and user}

which no command copies, exports or reports, and which a person leaves out of what is passed on. Where it is there a
file is found again, first where it lay as seen from FOLDER, so that folders which are moved together stay together.
A folder of a stranger may hold one too, and lead to any file of this machine: what was found by the record of another
machine or user is told (`led_by_others`).
"""

import hashlib
import json
import os
import re
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.files import read_text

LOCAL_FILE = "local.json"

MARK = "local:"
"""How the name of a path begins that may not be told."""

_SHOWN = 3
"""Paths that are told."""

STAGED = re.compile(r"\.(?P<name>.+)\.(?:staging|unfinished)-[^.]+")
"""The folder in which an output lies, as `files`, until it gets its name."""

GIVEN = re.compile(r"((?:--)?[a-z][\w.-]*=)(.*)", re.IGNORECASE | re.DOTALL)
"""A flag or a setting with its value in one word."""

_NUMBERS = re.compile(r"[\d./,:x-]+")
"""What looks like a path and is none: shares, shards, sizes."""


@dataclass(frozen=True)
class Names:
    """Names for paths in the files of a folder.

    Args:
        folder: the folder; it may still be prepared under another name.
    """

    folder: Path
    hidden: dict[str, str] = field(default_factory=dict, init=False)
    _ours: dict[Path, bool] = field(default_factory=dict, init=False)

    def __call__(self, path: Path | str) -> str:
        """The name of a path; one that leads out of the folder is remembered."""
        there, here, place = plain_path(path), plain_path(self.folder), final_path(self.folder)
        for folder in (here, place):
            if there.is_relative_to(folder):
                return there.relative_to(folder).as_posix()
        name = Path(os.path.relpath(there, place)).as_posix()
        if not self._names_ours_alone(name, place):
            name = token(there)
        self.hidden[name] = str(there)
        return name

    def _names_ours_alone(self, relative: str, place: Path) -> bool:
        """Whether the first folder that a relative path names, once it is out of the place, was written by sfumato."""
        parts = Path(relative).parts
        ups = parts.count("..")
        if len(parts) == ups:
            return False
        first = plain_path(place.joinpath(*parts[: ups + 1]))
        if first not in self._ours:
            self._ours[first] = _is_ours(first)
        return self._ours[first]

    def may_follow(self, name: str) -> bool:
        """Whether a name that leads out of the folder may be followed: whoever made the table may be a stranger.

        It may where this machine's own record tells it, and into other folders that sfumato wrote.
        """
        if recalled(name, self.folder) is not None:
            return True
        return not Path(name).is_absolute() and self._names_ours_alone(os.path.normpath(name), plain_path(self.folder))

    def keep(self, **more: str) -> None:
        """Write what was hidden into `local.json`, beside what it says already."""
        if not self.hidden and not more:
            return
        known = _known(self.folder)
        paths = {**known.get("paths", {}), **self.hidden}
        record = {**known, "place": str(final_path(self.folder)), "paths": paths, **more, "maker": maker()}
        write_atomic(self.folder / LOCAL_FILE, json.dumps(record, indent=1) + "\n", mode=0o600)


def plain_path(path: Path | str) -> Path:
    """An absolute path without `..`; links in it stay."""
    return Path(os.path.normpath(Path(path).absolute()))


def final_path(folder: Path) -> Path:
    """Where a folder will lie, whether it has its name already or not."""
    path = plain_path(folder)
    for home in (path, *path.parents):
        if home.name == "files" and (staged := STAGED.fullmatch(home.parent.name)):
            return home.parent.parent / staged["name"] / path.relative_to(home)
    return path


def token(path: Path) -> str:
    """The name of a path that may not be told: the same everywhere for the same path."""
    return MARK + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def found(name: str, folder: Path) -> Path | None:
    """The path that a name in the files of a folder means; None where it is hidden and nobody knows it here."""
    known = _known(folder)
    there = known.get("paths", {}).get(name)
    if there is None:
        return None if name.startswith(MARK) else folder / name
    beside = plain_path(folder / os.path.relpath(there, known["place"]))
    led = beside if str(beside) == there or beside.exists() else Path(there)
    if known.get("maker") != maker():
        _LED.setdefault(plain_path(folder), {}).setdefault(led)
    return led


_LED: dict[Path, dict[Path, None]] = {}
"""Paths that were found by the records of others, by the folders of these."""


def led_by_others() -> list[str]:
    """What to know of paths that were found since the last call by records that were not made here, in sentences."""
    told = []
    for folder, paths in _LED.items():
        some = ", ".join(str(path) for path in list(paths)[:_SHOWN]) + (" ..." if len(paths) > _SHOWN else "")
        told.append(f"{folder / LOCAL_FILE} was not written by you on this machine; it led to {some}")
    _LED.clear()
    return told


@lru_cache(maxsize=1)
def maker() -> str:
    """Who writes here: a hash of this machine and this user."""
    try:
        machine = read_text(Path("/etc/machine-id")).strip()
    except (OSError, ValueError):  # other systems, and containers
        machine = f"{uuid.getnode():x}"
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return hashlib.sha256(f"sfumato {machine} {user}".encode()).hexdigest()[:16]


def recalled(name: str, folder: Path) -> Path | None:
    """The path of a name that was hidden from the files of a folder; None for any other word."""
    return found(name, folder) if name in _known(folder).get("paths", {}) else None


def portable(words: Sequence[str], names: Names) -> str:
    """A command as it may be passed on: its verbs, flags, numbers and words, and names in place of paths."""
    verbs = 2 if words[:1] in (["train"], ["tune"], ["evaluate"]) else 1
    told = list(words[:verbs])
    for before, word in zip(words[verbs - 1 :], words[verbs:], strict=False):
        flag, value = _given(word)
        is_output = before == "--out" or flag == "--out="
        told.append(flag + ("." if is_output else _told(value, names)))
    return shlex.join(["sfumato", *told])


def paths_in(words: Sequence[str]) -> list[str]:
    """What in a command names a file or folder by more than one name."""
    return [value for word in words if os.sep in (value := _given(word)[1]) and not _NUMBERS.fullmatch(value)]


def _given(word: str) -> tuple[str, str]:
    """The flag or setting of a word, with its equals sign, and what is given to it."""
    given = GIVEN.fullmatch(word)
    return (given[1], given[2]) if given else ("", word)


def without_paths(value: Any, names: Names) -> Any:
    """Plain data in which every absolute path has become a name."""
    if isinstance(value, Mapping):
        return {key: without_paths(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_paths(inner, names) for inner in value]
    if isinstance(value, str) and Path(value).is_absolute():
        file, member = _file_of(value)
        return f"{names(file)}::{member}" if member else names(file)
    return names(value) if isinstance(value, Path) else value


def seen_from(*sources: Path) -> Callable[[str], str]:
    """What takes the paths of sources out of sentences and locators: what lies in one is named as seen from there."""
    folders = [plain_path(source if source.is_dir() else source.parent) for source in sources]
    beginnings = sorted({f"{folder}{os.sep}" for folder in folders}, key=len, reverse=True)

    def short(text: str) -> str:
        for beginning in beginnings:
            text = text.replace(beginning, "")
        return text

    return short


def _told(word: str, names: Names) -> str:
    if word.startswith("-") or _NUMBERS.fullmatch(word):
        return word
    scheme, colon, rest = word.partition(":")  # inception:FILE
    if colon and _is_path(rest):
        return f"{scheme}:{names(rest)}"
    return names(word) if _is_path(word) else word


def _is_path(word: str) -> bool:
    """Whether a word names a file or folder, or could."""
    try:
        return os.sep in word or Path(word).exists()
    except (OSError, ValueError):  # a null byte, a name that is too long
        return False


def _file_of(locator: str) -> tuple[str, str]:
    """The file of a member of an archive or a plane of a volume, and that; names may have `::` themselves."""
    places = [place.start() for place in re.finditer("(?=::)", locator)]
    there = [place for place in places if os.path.lexists(locator[:place])]
    if os.path.lexists(locator) or not there:
        return locator, ""
    return locator[: there[-1]], locator[there[-1] + 2 :]


def _is_ours(folder: Path) -> bool:
    try:
        return '"sfumato":' in read_text(folder / "provenance.json")
    except (OSError, ValueError):
        return False


def _known(folder: Path) -> dict[str, Any]:
    file = folder / LOCAL_FILE
    try:
        return _parsed(file, file.stat().st_mtime_ns)
    except (OSError, ValueError, RecursionError):
        return {}


@lru_cache(maxsize=8)
def _parsed(file: Path, _changed: int) -> dict[str, Any]:
    known = json.loads(read_text(file))
    if not isinstance(known, dict) or not _is_path_of_ours(known.get("place")):
        return {}
    paths = known.get("paths")
    are_paths = isinstance(paths, dict) and all(map(_is_path_of_ours, paths.values()))
    return {**known, "paths": paths if are_paths else {}}


def _is_path_of_ours(value: object) -> bool:
    """Whether it is a path as this file has them: absolute, and one that there can be."""
    return isinstance(value, str) and Path(value).is_absolute() and "\0" not in value
