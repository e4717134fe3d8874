"""`sfumato convert`: a source in another form, pixel for pixel."""

from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from sfumato.commands.flags.source import AS_READ, ReadingFlags
from sfumato.commands.flags.words import parse_size
from sfumato.data.conversion.convert import DatasetFormat, prepared_meaning
from sfumato.data.conversion.convert import convert as convert_cases
from sfumato.data.conversion.nnunet import refuse_name
from sfumato.data.conversion.setting import ConversionStep, take_stock
from sfumato.data.manifest import is_prepared
from sfumato.errors import UsageError
from sfumato.experiment.claim import Claim
from sfumato.experiment.output_folder import claim_output, claim_output_file
from sfumato.progress import bar, say
from sfumato.provenance import write_provenance
from sfumato.wording import counted

_Result = TypeVar("_Result")

_SUFFIXES = {"zip": ".zip", "npz": ".npz"}


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
    sides = _sides(size)
    if crop and sides is None:
        raise UsageError("--crop needs a shape", expected="--size with it", remedy="--size 256 --crop")
    inputs = {"source": source, **({"masks": flags.masks_folder} if flags.masks_folder else {})}
    claim = _claim(out, to, overwrite=overwrite, inputs=list(inputs.values()))
    found = flags.find(source, to_read=True)
    result: dict[str, Any] = {"out": str(out), "form": to, "cases": len(found.cases)}
    if dry_run:
        _driven(take_stock(found, meaning=prepared_meaning(source), size=sides, crop=crop), total=2 * len(found.cases))
        say(f"would write {counted(len(found.cases), 'case')} as {to} to {out}")
        return result
    notes = list(found.notes)
    if is_prepared(source):
        notes.append("pixels come from the original files of the prepared data set, at their own size")
    with claim.file() if to in _SUFFIXES else claim.folder() as draft:
        converted = _driven(
            convert_cases(found, draft, form=to, meaning=prepared_meaning(source), size=sides, crop=crop),
            total=2 * len(found.cases),
        )
        if draft.is_dir():
            write_provenance(draft, inputs=inputs, given_away=True)
    notes += converted.notes
    for note in notes:
        say(f"note: {note}")
    say(f"{counted(converted.cases, 'case')} in {out}")
    return {**result, "masks": converted.masks, "notes": notes}


def _sides(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = parse_size(size)
    if sides == "auto":
        raise UsageError("--size auto", expected="pixels like 64, or height x width like 96x128")
    return sides


def _claim(out: Path, to: DatasetFormat, *, overwrite: bool, inputs: list[Path]) -> Claim:
    """Claim the output before anything is read."""
    if to == "nnunet":
        refuse_name(out)
    if to not in _SUFFIXES:
        return claim_output(out, overwrite=overwrite, inputs=inputs)
    if out.suffix != _SUFFIXES[to]:
        raise UsageError(f"--out {out}", expected=f"a file that ends in {_SUFFIXES[to]}")
    return claim_output_file(out, overwrite=overwrite, inputs=inputs)


def _driven(steps: Generator[ConversionStep, None, _Result], *, total: int) -> _Result:
    """Run to the end with a bar; what came of it."""
    with bar("converting", total=total) as progress:
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                result: _Result = end.value
                return result
            progress.update(step.done, note=step.name[:30])
