"""Output folders and files: whole or not there at all, and nothing that existed is lost."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sfumato.errors import UsageError


@contextmanager
def output_folder(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """A fresh folder that takes the name `out` when the block ends well; else it is removed and `out` is as it was.

    Args:
        out: the folder to write.
        overwrite: replace a folder that is not empty.
        inputs: what is read; `out` must not be inside it, nor hold it.

    Raises:
        UsageError: `out` is a file, is not empty, or overlaps with an input.
    """
    check_output(out, overwrite=overwrite, inputs=inputs)
    staging = out.with_name(f".{out.name}.staging-{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        yield staging
        take_place(staging, out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_output(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse an output folder before any work is done; see `output_folder`."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", expected="a folder to write", remedy="give another --out")
    for source in inputs:
        if source.exists() and _overlap(out.resolve(), source.resolve()):
            raise UsageError(
                f"the output {out} and the input {source} overlap", expected="two separate folders",
                remedy="give another --out",
            )  # fmt: skip
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out} is not empty", expected="a new folder", remedy="give another --out, or --overwrite")


@contextmanager
def output_file(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """A fresh file that takes the name `out` when the block ends well; else it is removed and `out` is as it was.

    Raises:
        UsageError: `out` exists, or lies within an input.
    """
    check_output_file(out, overwrite=overwrite, inputs=inputs)
    draft = out.with_name(f".{out.name}.{os.getpid()}.part")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def check_output_file(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> None:
    """Refuse an output file before any work is done; see `output_file`."""
    if out.is_dir() or (out.exists() and not overwrite):
        what, remedy = ("a folder", "") if out.is_dir() else ("there already", ", or --overwrite")
        raise UsageError(f"{out} is {what}", expected="a file to write", remedy=f"give another --out{remedy}")
    for source in inputs:
        if (source.is_dir() and source.resolve() in out.resolve().parents) or source.resolve() == out.resolve():
            raise UsageError(
                f"the output {out} lies within the input {source}", expected="a place outside",
                remedy="give another --out",
            )  # fmt: skip


def take_place(staging: Path, out: Path) -> None:
    """Give a finished folder its name; what had the name is removed."""
    old = out.with_name(f".{out.name}.old-{os.getpid()}")
    if out.exists():
        out.rename(old)
    staging.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _overlap(out: Path, source: Path) -> bool:
    return source.is_dir() and (out == source or source in out.parents or out in source.parents)
