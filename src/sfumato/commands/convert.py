"""`sfumato convert`: a source in another form, pixel for pixel."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from sfumato.commands.flags.source import AS_READ, ReadingFlags
from sfumato.commands.flags.words import parse_sides
from sfumato.data.conversion.convert import DatasetFormat
from sfumato.progress import say
from sfumato.verbs.convert import convert as _convert
from sfumato.wording import counted


def convert(
    source: Path,
    /,
    *,
    to: DatasetFormat,
    out: Path,
    flags: ReadingFlags = AS_READ,
    size: str | None = None,
    crop: bool = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> dict[str, Any]:
    """Write a source in another form: the same pixels, names and classes.

    Args:
        source: Anything that prepare and train read.
        to: folder (images, masks, manifest.csv), zip (EDM and StyleGAN), npz, or nnunet (raw, version 2).
        out: The folder to write, or the file for zip and npz. For nnunet its name is like Dataset001_Name.
        flags: Where the files of the source leave a choice.
        size: Height and width in pixels to resize to, e.g. 256 or 96x128; without it nothing is resized.
        crop: Cut the centre out at the shape of --size first, instead of stretching.
        overwrite: Replace what is there.
        dry_run: Read everything, refuse files that cannot be used, say what would be written, and write nothing.
    """
    converted = _convert(
        source, to=to, out=out, reading=flags, size=parse_sides(size), crop=crop, overwrite=overwrite, dry_run=dry_run
    )
    result: dict[str, Any] = {"out": str(out), "form": to, "cases": converted.cases}
    if dry_run:
        say(f"would write {counted(converted.cases, 'case')} as {to} to {out}")
        return result
    for note in converted.notes:
        say(f"note: {note}")
    say(f"{counted(converted.cases, 'case')} in {out}")
    return {**result, "masks": converted.masks, "notes": list(converted.notes)}
