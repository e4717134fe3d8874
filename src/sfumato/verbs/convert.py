"""A source in another form, pixel for pixel."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sfumato.data.conversion.convert import DatasetFormat, convert_cases, prepared_meaning
from sfumato.data.conversion.nnunet import refuse_name
from sfumato.data.conversion.setting import ConversionStep, take_stock
from sfumato.data.manifest import is_prepared
from sfumato.errors import UsageError
from sfumato.experiment.claim import Claim
from sfumato.experiment.output_folder import claim_output, claim_output_file
from sfumato.experiment.source import AS_FOUND, Reading
from sfumato.progress import bar
from sfumato.provenance import write_provenance

_Result = TypeVar("_Result")

_SUFFIXES = {"zip": ".zip", "npz": ".npz"}


@dataclass(frozen=True)
class Converted:
    """A source that was written in another form, or would be.

    Attributes:
        out: the folder, or the file of a zip or npz.
        to: the form.
        cases: how many.
        masks: whether masks were written; None of what would be.
        notes: what a person should know, in sentences: what values mean now, what the form has no place for.
    """

    out: Path
    to: DatasetFormat
    cases: int
    masks: bool | None = None
    notes: tuple[str, ...] = ()


def convert(
    source: Path | str,
    *,
    to: DatasetFormat,
    out: Path | str,
    reading: Reading = AS_FOUND,
    size: int | tuple[int, int] | None = None,
    crop: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Converted:
    """Write a source in another form: the same pixels, names and classes.

    Args:
        source: anything that `prepare` reads.
        to: folder (images, masks, manifest.csv), zip (EDM and StyleGAN), npz, or nnunet (raw, version 2).
        out: the folder to write, or the file for zip and npz. For nnunet its name is like Dataset001_Name.
        reading: what may be said of the source beyond its path.
        size: pixels of both sides, or height and width, to resize to; None resizes nothing.
        crop: cut the centre out at the shape of `size` first, instead of stretching.
        overwrite: replace what is there.
        dry_run: read everything, refuse files that cannot be used, and write nothing.

    Raises:
        DataError: files that cannot be used, all are listed; or the form cannot hold the cases.
        UsageError: `out` does not suit the form or holds something else; `crop` without `size`; a size for volumes.
    """
    source, out = Path(source), Path(out)
    sides = (size, size) if isinstance(size, int) else size
    if crop and sides is None:
        raise UsageError("--crop needs a shape", expected="--size with it", remedy="--size 256 --crop")
    inputs = {"source": source, **({"masks": reading.masks_folder} if reading.masks_folder else {})}
    claim = _claim(out, to, overwrite=overwrite, inputs=list(inputs.values()))
    found, meaning = reading.find(source, to_read=True), prepared_meaning(source)
    steps = 2 * len(found.cases)
    if dry_run:
        _driven(take_stock(found, meaning=meaning, size=sides, crop=crop), total=steps)
        return Converted(out, to, len(found.cases))
    with claim.file() if to in _SUFFIXES else claim.folder() as draft:
        written = _driven(convert_cases(found, draft, form=to, meaning=meaning, size=sides, crop=crop), total=steps)
        if draft.is_dir():
            write_provenance(draft, inputs=inputs, given_away=True)
    notes = list(found.notes)
    if is_prepared(source):
        notes.append("pixels come from the original files of the prepared data set, at their own size")
    return Converted(out, to, written.cases, written.masks, (*notes, *written.notes))


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
