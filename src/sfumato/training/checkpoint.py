"""Checkpoints that survive a kill, a full disk and a flipped bit.

A checkpoint is a folder `step-00012000` with tensors (safetensors), `state.json` and `MANIFEST.json`, which lists every
other file with its size and sha256. `save` keeps this order, and the process may die between any two lines of it:

1. Write into `.staging-<step>-<pid>`, the manifest last; everything is fsynced.
2. Rename the folder to its final name: from here on the checkpoint exists, as a whole.
3. Point the text file `last` to it, by replacing the file.
4. Prune: older checkpoints are renamed to `.trash-...`, then deleted; two that verify, those that
   `best` and `best-...` name, and every N-th stay.

Readers take the newest checkpoint whose manifest verifies, decided by the step number, and say which they passed over.
Nothing is pickled, and no pickle is ever opened.
"""

import errno
import hashlib
import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
from pydantic import BaseModel, Field
from torch import Tensor

from sfumato.atomic import sync_folder
from sfumato.errors import ModelError, ResourceError, listed
from sfumato.files import matching, open_file
from sfumato.plain import read_object, shaped
from sfumato.shortage import raise_shortage, shortage
from sfumato.training.marks import STEP
from sfumato.training.marks import marked as marked
from sfumato.training.weights import load_weights, plain_tensors
from sfumato.wording import told_size

_FORMAT = 1
"""Version of the layout; a reader refuses a newer one."""

MANIFEST, STATE, _WEIGHTS = "MANIFEST.json", "state.json", ".safetensors"
_HEADED = frozenset({"model", "ema"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_LONGEST_NAME = 32
"""Bytes of a text file that names a checkpoint."""

_SLACK = 1 << 20
"""Bytes that must stay free beyond the tensors of a checkpoint: headers, state, manifest."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: its folder.
        step: number of training steps done.
        tensors: file stem (`model`, `ema`, `optimizer`) -> name -> tensor, on the CPU.
        headers: file stem -> safetensors metadata.
        state: the JSON state.
        skipped: newer checkpoints that were passed over, each with its defect.
    """

    path: Path
    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    headers: Mapping[str, Mapping[str, str]]
    state: Mapping[str, Any]
    skipped: tuple[str, ...] = ()

    def part(self, stem: str) -> Mapping[str, Tensor]:
        """The tensors of a file.

        Raises:
            ModelError: it has no such file.
        """
        if stem not in self.tensors:
            raise ModelError(f"{self.path} holds no {stem}{_WEIGHTS}", expected="a checkpoint of this recipe")
        return self.tensors[stem]


def save(
    folder: Path,
    *,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    headers: Mapping[str, str],
    state: Mapping[str, Any],
    keep: int = 2,
    stays: Callable[[int], bool] = lambda _: False,
) -> Path:
    """Write a checkpoint; one process of a run calls this, with the run's lock held.

    A step that is there already and verifies is left as it is: the step number decides what a run holds.

    Args:
        folder: the run's `checkpoints` folder, made if needed.
        step: number of training steps done.
        tensors: file stem -> name -> tensor. Tied and strided tensors are fine.
        headers: metadata for the files `model` and `ema`.
        state: everything else, as JSON.
        keep: how many to keep besides the best, at least 2.
        stays: whether the checkpoint of a step is never thrown away.

    Returns:
        The checkpoint's folder.

    Raises:
        ResourceError: the disk is full; what was there before is untouched.
    """
    final = folder / f"step-{step:08d}"
    with _room(folder, sum(map(_bytes, tensors.values()))):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        if not _intact(final):
            staging = folder / f".staging-{step:08d}-{os.getpid()}"
            _stage(staging, step=step, tensors=tensors, headers=headers, state=state)
            if final.exists():
                final.rename(folder / f".trash-{final.name}")
            staging.rename(final)
            sync_folder(folder)
        mark(folder, "last", final)
        _prune(folder, newest=final, keep=max(keep, 2), stays=stays)
        sweep(folder)
    return final


def mark(folder: Path, name: str, path: Path) -> None:
    """Let a text file of the `checkpoints` folder (`last`, `best`, ...) name the checkpoint `path`, atomically."""
    draft = folder / f".staging-{name}"
    with _room(folder, 0):
        draft.unlink(missing_ok=True)
        _write(draft, (path.name + "\n").encode())
        draft.replace(folder / name)
        sync_folder(folder)


def named_checkpoint(path: Path) -> Path | None:
    """The checkpoint that a path names: its own folder, or a text file such as `checkpoints/best` that names it."""
    if (path / MANIFEST).is_file():
        return path
    if path.suffix or not path.is_file():
        return None
    found = marked(path.parent, path.name)
    return found if found is not None and (found / MANIFEST).is_file() else None


def listed_files(path: Path) -> list[str]:
    """Names of the files of a checkpoint: its manifest, and what that lists.

    Raises:
        ModelError: the manifest is damaged.
    """
    return [MANIFEST, *_manifest(path).files]


def sweep(folder: Path) -> None:
    """Delete what killed processes left half-written or half-deleted; only for who holds the run's lock."""
    for pattern in (".staging-*", ".trash-*"):
        for rest in matching(folder, pattern):
            shutil.rmtree(rest) if rest.is_dir() and not rest.is_symlink() else rest.unlink()


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that verifies, or None if there is none at all.

    Raises:
        ModelError: there are checkpoints and all are damaged, or one was made by a newer sfumato.
    """
    skipped: list[str] = []
    for path in _steps(folder):
        defect = _defect(path)
        if defect is None:
            return _read(path, tuple(skipped))
        skipped.append(f"{path.name}: {defect}")
    if not skipped:
        return None
    raise ModelError(
        f"{folder}: every checkpoint is damaged\n{listed(skipped)}",
        expected="at least one checkpoint that agrees with its manifest",
        remedy="restore the folder from a backup, or train into a new one",
    )


def load(path: Path) -> Checkpoint:
    """One checkpoint, verified.

    Raises:
        ModelError: it is damaged, or made by a newer sfumato.
    """
    defect = _defect(path)
    if defect is not None:
        raise ModelError(f"{path}: {defect}", expected="a checkpoint that agrees with its manifest")
    return _read(path, ())


def _stage(
    staging: Path,
    *,
    step: int,
    tensors: Mapping[str, Mapping[str, Tensor]],
    headers: Mapping[str, str],
    state: Mapping[str, Any],
) -> None:
    """Write and sync all files of a checkpoint, the manifest last."""
    staging.mkdir()
    digests = {}
    for stem, group in tensors.items():
        content = safetensors.torch.save(plain_tensors(group), dict(headers) if stem in _HEADED else None)
        digests[stem + _WEIGHTS] = _write(staging / (stem + _WEIGHTS), content)
    digests[STATE] = _write(staging / STATE, json.dumps(state, indent=1).encode())
    versions = {name: importlib.metadata.version(name) for name in ("sfumato", "torch")}
    manifest = {"format": _FORMAT, "step": step, "versions": versions, "files": digests}
    _write(staging / MANIFEST, json.dumps(manifest, indent=1).encode())
    sync_folder(staging)


def _write(path: Path, content: bytes) -> dict[str, Any]:
    """Write and sync a new file; its entry in the manifest."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _prune(folder: Path, *, newest: Path, keep: int, stays: Callable[[int], bool]) -> None:
    """Throw away checkpoints older than `newest` once `keep` that verify are kept.

    What a file `best` or `best-...` names, and what `stays` says, always stays.
    """
    good, best = 1, {marked(folder, file.name) for file in matching(folder, "best*")}
    for path in _steps(folder):
        step = _step_of(path)
        if step >= _step_of(newest) or path in best or stays(step):
            continue
        if good >= keep:
            path.rename(folder / f".trash-{path.name}")
        elif _intact(path):
            good += 1


def _steps(folder: Path) -> list[Path]:
    """The checkpoint folders, newest first."""
    named = (path for path in matching(folder, "step-*") if STEP.fullmatch(path.name))
    return sorted(named, key=_step_of, reverse=True)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _intact(path: Path) -> bool:
    return path.is_dir() and _defect(path) is None


def _defect(path: Path) -> str | None:
    """What is wrong with a checkpoint, or None.

    Raises:
        ModelError: it was made by a newer sfumato.
    """
    try:
        files = _manifest(path).files
    except _DamageError as damage:
        return damage.finding
    return next((defect for name, entry in files.items() if (defect := _file_defect(path / name, entry))), None)


class _DamageError(ModelError):
    """Something is wrong with a checkpoint; others may be whole."""


class _File(BaseModel):
    bytes: int
    sha256: str


class _Manifest(BaseModel):
    """What a checkpoint says that it holds: files that lie in its folder."""

    step: Annotated[int, Field(ge=0, le=10**12)]
    files: dict[Annotated[str, Field(pattern=r"^\w[\w.-]{0,99}$")], _File]


def _manifest(path: Path) -> _Manifest:
    if not (path / MANIFEST).exists():
        raise _DamageError(f"{MANIFEST} is missing")
    content = read_object(path / MANIFEST, lambda _: _DamageError(f"{MANIFEST} is damaged"))
    version = content.get("format")
    if isinstance(version, int) and version > _FORMAT:
        raise ModelError(f"{path}: made by a newer sfumato (format {str(version)[:20]})", remedy="update sfumato")
    if version != _FORMAT:
        raise _DamageError(f"{MANIFEST} is damaged")
    return shaped(_Manifest.model_validate, content, lambda finding: _DamageError(f"{MANIFEST} {finding}"))


def _file_defect(file: Path, entry: _File) -> str | None:
    try:
        if not file.is_file():
            return f"{file.name} is missing"
        size = file.stat().st_size
        if size != entry.bytes:
            return f"{file.name} has {size} bytes instead of {entry.bytes}"
        with open_file(file) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise_shortage(error, reading=file)
        return f"{file.name} cannot be read ({error.strerror})"
    return None if digest == entry.sha256 else f"{file.name} has changed since it was written (sha256)"


def _read(path: Path, skipped: tuple[str, ...]) -> Checkpoint:
    manifest = _manifest(path)
    files = [path / name for name in manifest.files if name.endswith(_WEIGHTS)]
    parts = {file.stem: load_weights(file) for file in files}
    return Checkpoint(
        path=path,
        step=manifest.step,
        tensors={stem: tensors for stem, (tensors, _) in parts.items()},
        headers={stem: header for stem, (_, header) in parts.items()},
        state=read_object(path / STATE, lambda finding: ModelError(f"{path / STATE} {finding}", expected="its state")),
        skipped=skipped,
    )


def _bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


@contextmanager
def _room(folder: Path, need: int) -> Iterator[None]:
    """Refuse to begin on a disk without room; when it fills up meanwhile, delete what was begun."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if shutil.disk_usage(existing).free < need + _SLACK:
        raise _disk_full(folder, existing, need)
    try:
        yield
    except OSError as error:
        with suppress(OSError):
            sweep(folder)
        if error.errno in _FULL:
            raise _disk_full(folder, existing, need) from error
        known = shortage(error, during="while a checkpoint was written", disk=folder)
        raise known or ResourceError(f"{folder}: a checkpoint cannot be written ({error.strerror})") from error


def _disk_full(folder: Path, disk: Path, need: int) -> ResourceError:
    free = shutil.disk_usage(disk).free
    return ResourceError(
        f"{folder}: the disk is full, a checkpoint needs {told_size(need)} and {told_size(free)} are free",
        expected="room for one more checkpoint; the older ones are untouched",
        remedy="free some space, then resume the run",
    )
