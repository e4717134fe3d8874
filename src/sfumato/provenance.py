"""Where a folder comes from: every folder that a command writes holds a `provenance.json`."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sfumato.atomic import write_atomic
from sfumato.files import open_file
from sfumato.local import Names, portable, without_paths
from sfumato.plain import ours, read_object


def write_provenance(
    folder: Path, *, inputs: Mapping[str, Path], seed: int | None = None, given_away: bool = False, **more: Any
) -> None:
    """Write `folder/provenance.json`: command, versions, inputs with their hashes, seed, time.

    It tells no path that leads out of the folder, see `sfumato.local`, which keeps them for this machine.

    Args:
        folder: the folder that the command wrote.
        inputs: what it read, by role; a folder is hashed by its manifest or recipe.
        seed: the seed that results depend on.
        given_away: the folder is made to be passed on: nothing is kept for this machine either.
        **more: anything else worth keeping, plain data.
    """
    names, words = Names(folder), sys.argv[1:]
    record = {
        "command": portable(words, names),
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("sfumato", "torch", "numpy")},
        },
        "machine": {"system": platform.platform(terse=True), "processor": platform.machine()},
        "inputs": {role: {"path": names(path.resolve()), "sha256": digest(path)} for role, path in inputs.items()},
        "seed": seed,
        **{name: without_paths(value, names) for name, value in more.items()},
    }
    if not given_away:
        names.keep(command=shlex.join(["sfumato", *words]))
    write_atomic(folder / "provenance.json", json.dumps(record, indent=2) + "\n")


def read_provenance(folder: Path) -> dict[str, Any]:
    """What `write_provenance` wrote; empty if there is none.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / "provenance.json"
    return read_object(path, ours(path)) if path.is_file() else {}


def called(path: Path) -> str:
    """The name of a folder that sfumato wrote, which may be told; of any other nothing, since it may be a patient's."""
    return path.resolve().name if is_written_by_us(path) else ""


def digest(path: Path) -> str | None:
    """sha256 of a file, or of the file that identifies a folder; None for a folder of raw files."""
    if path.is_dir():
        named = (path / name for name in ("dataset.json", "manifest.csv", "recipe.yaml"))
        path = next((file for file in named if file.is_file()), path)
    if not path.is_file():
        return None
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_written_by_us(folder: Path) -> bool:
    """Whether a folder says of itself that a command of sfumato wrote it."""
    try:
        return "sfumato" in read_provenance(folder)["versions"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
