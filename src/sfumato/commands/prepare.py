"""`sfumato prepare`: decode a source once into a dataset that trains fast."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sfumato.commands.flags.numbers import Count, Fraction, Index
from sfumato.commands.flags.source import AS_READ, ReadingFlags
from sfumato.commands.flags.words import parse_size, parse_spacing
from sfumato.data.placement import size_words
from sfumato.data.units import counted_cases
from sfumato.errors import UsageError
from sfumato.numerals import decimal
from sfumato.progress import say
from sfumato.recipe import NATIVE
from sfumato.verbs import prepare as verb
from sfumato.verbs.prepare import THREE_SHARES, Preparation, Size

Unparsed = Parameter(parse=False)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class PreparationFlags(Preparation):
    """The fields of a preparation as flags; four of them are written as text."""

    size: Annotated[Size, Unparsed] = "auto"
    window: Annotated[tuple[float, float] | None, Unparsed] = None
    split: Annotated[tuple[float, float, float], Unparsed] = Preparation.split
    spacing: Annotated[float | tuple[float, float, float] | None, Unparsed] = None
    keep_empty: Fraction = 1.0
    neighbours: Index = 0
    folds: Index = 0
    seed: Index = 0


_AS_PLANNED = PreparationFlags()


def prepare(
    source: Path,
    /,
    *,
    out: Path,
    flags: ReadingFlags = AS_READ,
    size: str = "auto",
    preparation: PreparationFlags = _AS_PLANNED,
    spacing: str | None = None,
    window: str | None = None,
    split: str = "0.7/0.15/0.15",
    workers: Count | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Decode images and masks into memory-mapped arrays, with a split by patient; started again, it goes on.

    Args:
        source: A folder of images (and masks), class folders, a CSV, zip, npz, npy or IDX file, NIfTI, NRRD or DICOM
            files, an nnU-Net raw dataset, or a folder with manifest.csv.
        out: The dataset folder to write.
        flags: How to read the source.
        size: Height and width in pixels, e.g. 64 or 96x128; native: each image keeps its own; auto: their median within
            reason, and their own where a small size would blur their masks.
        preparation: What becomes of the images.
        spacing: Resample to so many millimetres per pixel, then pad or cut to the size; whole volumes to so many
            between planes, rows and columns, such as 3x0.8x0.8 (by default those of most of them).
        window: Black and white in stored numbers, e.g. -1000,400 in Hounsfield units.
        split: Shares of train/validation/test; a split that the source has already is kept.
        workers: Processes that decode; all cores by default.
        overwrite: Replace a folder that is not empty.
        dry_run: Read everything, refuse what would be refused, say what would be written, and write nothing.
    """
    as_said = replace(
        preparation,
        size=parse_size(size),
        spacing=parse_spacing(spacing),
        window=_window(window),
        split=_shares(split),
    )
    if dry_run:
        rehearsed = verb.rehearse(
            source, out=out, reading=flags, preparation=as_said, workers=workers, overwrite=overwrite
        )
        for note in rehearsed.notes:
            say(f"note: {note}")
        whole = ", the volumes whole," if rehearsed.dimensions == 3 else ""
        say(f"would prepare {counted_cases(rehearsed.cases)}{whole} {size_words(rehearsed.size)} into {out}")
        said = NATIVE if rehearsed.size is None else list(rehearsed.size)
        planned = {"size": said, "dimensions": rehearsed.dimensions}
        return {"dataset": str(out), "cases": len(rehearsed.cases), **planned}
    return verb.prepare(
        source, out=out, reading=flags, preparation=as_said, workers=workers, overwrite=overwrite
    ).summary


def _window(text: str | None) -> tuple[float, float] | None:
    """The two numbers of `--window`."""
    if text is None:
        return None
    low, high = _numbers("--window", text, ",", expected=("two numbers, like -1000,400", 2))
    return low, high


def _shares(text: str) -> tuple[float, float, float]:
    """The three numbers of `--split`."""
    train, validation, test = _numbers("--split", text, "/", expected=(THREE_SHARES, 3))
    return train, validation, test


def _numbers(flag: str, text: str, between: str, *, expected: tuple[str, int]) -> list[float]:
    """So many numbers.

    Raises:
        UsageError: there are others.
    """
    what, count = expected
    numbers = [number for part in text.split(between) if (number := decimal(part.strip())) is not None]
    if len(numbers) != count or text.count(between) != count - 1:
        raise UsageError(f"{flag} {text}", expected=what)
    return numbers
