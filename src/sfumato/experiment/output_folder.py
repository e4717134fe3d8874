"""Output folders and files: whole or not there at all, and nothing is lost that a command did not make.

`--overwrite` replaces what sfumato wrote: a folder with a `provenance.json` of its own. Any other folder, and every
folder with a trained run in it, is for the person to remove.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from sfumato.errors import ResourceError, UsageError
from sfumato.experiment.claim import Claim, folder_contents, home_of, refuse, resolved
from sfumato.provenance import is_written_by_us

RUN = frozenset({"run.json", "study.db"})
"""Files by which folders of trainings are known."""


def output_folder(
    out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = (), used: Sequence[Path] = ()
) -> AbstractContextManager[Path]:
    """A fresh folder that takes the name `out` when the block ends well; else it is removed and `out` is as it was.

    Args:
        out: the folder to write.
        overwrite: replace a folder that is not empty.
        inputs: what is read; `out` must not be inside it, nor hold it.
        used: what is read besides; `out` must not hold it.

    Raises:
        UsageError: `out` is a file, is not empty, or overlaps with an input; or, at the end, something else has come
            to have the name: the folder is kept beside it.
    """
    return claim_output(out, overwrite=overwrite, inputs=inputs, used=used).folder()


def output_file(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> AbstractContextManager[Path]:
    """A fresh file that takes the name `out` when the block ends well; else it is removed and `out` is as it was.

    Raises:
        UsageError: `out` exists, or lies within an input; or, at the end, something else has come to have the name: the
            file is kept beside it.
    """
    return claim_output_file(out, overwrite=overwrite, inputs=inputs).file()


def claim_output(
    out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = (), used: Sequence[Path] = ()
) -> Claim:
    """Claim the name of an output folder before any work is done; see `output_folder`."""
    check_output(out, overwrite=overwrite, inputs=inputs, used=used)
    place = resolved(out)
    _check_writable(out, place)
    claim = Claim.of(place)
    if place.is_dir() and folder_contents(place):
        _refuse_others(out, place)
    return claim


def claim_output_file(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = ()) -> Claim:
    """Claim the name of an output file before any work is done; see `output_file`."""
    place = resolved(out)
    if place.is_dir() or (out.exists() and not overwrite):
        what, remedy = ("a folder", "") if place.is_dir() else ("there already", ", or --overwrite")
        raise UsageError(f"{out} is {what}", expected="a file to write", remedy=f"give another --out{remedy}")
    for source in inputs:
        if (source.is_dir() and source.resolve() in place.parents) or source.resolve() == place:
            raise UsageError(
                f"the output {out} lies within the input {source}",
                expected="a place outside",
                remedy="give another --out",
            )
    _check_writable(out, place)
    return Claim.of(place)


def check_output(out: Path, *, overwrite: bool = False, inputs: Sequence[Path] = (), used: Sequence[Path] = ()) -> None:
    """Refuse an output folder that is a file, overlaps with what is read, or is not empty; see `output_folder`."""
    place = _place(out)
    for source in (*inputs, *used):
        if source.exists() and _overlap(place, source.resolve(), within=source in inputs):
            raise UsageError(
                f"the output {out} and the input {source} overlap",
                expected="two separate folders",
                remedy="give another --out",
            )
    if not overwrite and place.is_dir() and folder_contents(place):
        raise UsageError(f"{out} is not empty", expected="a new folder", remedy="give another --out, or --overwrite")


def numbered_file(name: str, *, subdirs: bool) -> str:
    """Where the file of a number lies: with `subdirs` 001234 in 001000, so that no folder has more than 1,000."""
    return f"{name[:-3]}000/{name}" if subdirs else name


def check_kept_folder(out: Path, source: Path) -> None:
    """Refuse a folder that is worked in over many commands if it is a file, or lies where its source is read.

    Raises:
        UsageError: it is, or does.
    """
    place, read = _place(out), source.resolve()
    if read.is_dir() and (place == read or read in place.parents):
        raise UsageError(
            f"the output {out} lies within the input {source}", expected="a place outside", remedy="give another --out"
        )


def _place(out: Path) -> Path:
    """The place of an output folder, links followed.

    Raises:
        UsageError: it is a file.
    """
    place = resolved(out)
    if place.exists() and not place.is_dir():
        raise UsageError(f"{out} is a file", expected="a folder to write", remedy="give another --out")
    return place


def _overlap(out: Path, source: Path, *, within: bool) -> bool:
    """Whether an output holds what is read, which would go with it, or lies `within` it."""
    return out == source or out in source.parents or (within and source.is_dir() and source in out.parents)


def _check_writable(out: Path, place: Path) -> None:
    """Refuse a name under which nothing can be written, before hours of work."""
    home = home_of(place)
    there = next(folder for folder in (home, *home.parents) if os.path.lexists(folder))
    if not there.is_dir():
        raise UsageError(f"{out}: {there} is a file", expected="a folder to write in", remedy="give another --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ResourceError(
            f"{out}: nobody may write in {there}", remedy="check the permissions, or give another --out"
        )


def _refuse_others(out: Path, place: Path) -> None:
    """Refuse to replace a folder that sfumato did not write, or that a training is in."""
    if not is_written_by_us(place):
        raise UsageError(
            f"{out} is not replaced: sfumato did not write it (it has no provenance.json)",
            expected="an output of sfumato for --overwrite",
            remedy="give another --out, or remove it yourself",
        )
    if run := next(_runs(place), None):
        raise UsageError(
            f"{out} is not replaced: a training is in it ({run})",
            expected="an output without trainings in it",
            remedy="give another --out, or remove it yourself",
        )


def _runs(folder: Path) -> Iterator[Path]:
    """Folders of trainings in a folder, or it itself."""
    for place, _, files in os.walk(folder, onerror=refuse):
        if RUN.intersection(files):
            yield Path(place)
