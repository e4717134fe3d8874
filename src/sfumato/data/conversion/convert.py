"""A source in another form: a folder, a ZIP archive, an NPZ file, or a raw data set of nnU-Net.

Pixels are exactly those of the source unless another size is asked for, and are never stored with loss; masks become
class indices by the rule that is decided over all of them.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, assert_never

from sfumato.data.conversion.folder import write_folder
from sfumato.data.conversion.nnunet import write_nnunet
from sfumato.data.conversion.nnunet_volumes import holds_volumes, write_nnunet_volumes
from sfumato.data.conversion.npz import write_npz
from sfumato.data.conversion.setting import (
    Conversion,
    ConversionStep,
    MaskMeaning,
    fits_png,
    one_channel_count,
    take_stock,
)
from sfumato.data.conversion.zip import write_zip
from sfumato.data.dataset import Dataset
from sfumato.data.manifest import file_names, is_prepared
from sfumato.data.mask import IGNORED
from sfumato.data.source import DiscoveredDataset

PNG_CHANNELS = frozenset({1, 3})

DatasetFormat = Literal["folder", "zip", "npz", "nnunet"]


class WrittenCases(NamedTuple):
    """What was written.

    Attributes:
        cases: how many.
        masks: whether masks were written.
        notes: what a person should know, in sentences: what values mean now, what the form has no place for.
    """

    cases: int
    masks: bool
    notes: tuple[str, ...]


def convert_cases(
    found: DiscoveredDataset,
    out: Path,
    *,
    form: DatasetFormat,
    meaning: MaskMeaning | None = None,
    size: tuple[int, int] | None = None,
    crop: bool = False,
) -> Generator[ConversionStep, None, WrittenCases]:
    """Write the cases of a source in another form; iterate to the end to do it.

    Args:
        found: the source.
        out: an empty folder to write into, or the file to write for "zip" and "npz".
        form: what to write.
        meaning: what mask values mean, where that was decided before (a prepared data set).
        size: height and width to bring images and masks to; None leaves each as it is.
        crop: cut the centre out at the shape of `size` first; otherwise images are stretched.

    Yields:
        Progress, after each case of both passes.

    Returns:
        What was written.

    Raises:
        DataError: files that cannot be used, all are listed; or the form cannot hold the cases.
        UsageError: another size is asked for, of volumes.
    """
    conversion = yield from take_stock(found, meaning=meaning, size=size, crop=crop)
    yield from _writer(conversion, out, form)
    return WrittenCases(len(found.cases), holds_masks(conversion, form), tuple(_notes(conversion, form)))


def _writer(conversion: Conversion, out: Path, form: DatasetFormat) -> Iterator[ConversionStep]:
    match form:
        case "folder":
            return write_folder(conversion, out)
        case "zip":
            return write_zip(conversion, out)
        case "npz":
            return write_npz(conversion, out)
        case "nnunet":
            write = write_nnunet_volumes if holds_volumes(conversion.cases) else write_nnunet
            return write(conversion, out)
        case never:
            assert_never(never)


def holds_masks(conversion: Conversion, form: DatasetFormat) -> bool:
    """Whether masks are written: the source has some and the form has a place for them."""
    return conversion.meaning is not None and form != "zip"


def prepared_meaning(source: Path) -> MaskMeaning | None:
    """What mask values mean in a prepared data set; None if `source` is none, or has no masks."""
    if not is_prepared(source):
        return None
    spec = Dataset.open(source).spec
    return MaskMeaning(spec.mask_rule, spec.mask_classes) if spec.mask_rule else None


def _notes(conversion: Conversion, form: DatasetFormat) -> Iterator[str]:
    """What a person should know about what was written."""
    if conversion.meaning is not None and form != "zip":
        yield conversion.meaning.rule.text
        yield "masks hold class indices now: " + ", ".join(
            f"{index} {name}" for index, name in enumerate(conversion.meaning.names)
        )
        if conversion.meaning.rule.ignore is not None:
            index = len(conversion.meaning.names) if form == "nnunet" else IGNORED
            yield f"pixels that say nothing have the index {index}"
    yield from _sizes(conversion)
    yield from _storage(conversion, form)
    yield from _lost(conversion, form)


def _sizes(conversion: Conversion) -> Iterator[str]:
    if conversion.size is None or set(conversion.stock.sizes) == {conversion.size}:
        return
    height, width = conversion.size
    shapes = {rows * width == columns * height for rows, columns in conversion.stock.sizes}
    how = "cut to the shape around the centre, then resized" if conversion.crop else "resized"
    stretched = "" if conversion.crop or shapes == {True} else ", and stretched where their shape was another"
    yield f"images were {how} to {width} x {height} (width x height){stretched}"


def _storage(conversion: Conversion, form: DatasetFormat) -> Iterator[str]:
    strange = {dtype: count for dtype, count in conversion.stock.dtypes.items() if not fits_png(dtype)}
    if strange and form in ("folder", "zip"):
        kinds = ", ".join(strange)
        yield f"images stored as TIFF, since PNG holds no {kinds}: {sum(strange.values())}"
    if many := _of_many_channels(conversion, form):
        yield f"images stored as TIFF, since PNG holds grey and RGB alone: {many}"
    renamed = sum(name != case.id for name, case in zip(file_names(_ids(conversion)), conversion.cases, strict=True))
    if renamed and form in ("folder", "nnunet"):
        yield f"ids that are no safe or unique file names, written under a name close to them: {renamed}"
    counts = {sum(parts) for parts in conversion.stock.channels}
    if len(counts) > 1 and form in ("npz", "nnunet"):
        yield f"grey and colour images: all have {one_channel_count(conversion)} channels now"


def _of_many_channels(conversion: Conversion, form: DatasetFormat) -> int:
    """How many images go into files of other channels than grey or RGB; a ZIP joins the files of a case."""
    if form not in ("folder", "zip"):
        return 0
    files = {parts: (sum(parts),) if form == "zip" else parts for parts in conversion.stock.channels}
    return sum(conversion.stock.channels[parts] for parts, held in files.items() if not PNG_CHANNELS.issuperset(held))


def _ids(conversion: Conversion) -> list[str]:
    return [case.id for case in conversion.cases]


def _lost(conversion: Conversion, form: DatasetFormat) -> Iterator[str]:
    """What the form has no place for."""
    cases = conversion.cases
    held = {
        "masks": form != "zip",
        "patients": form == "folder",
        "splits": form != "zip",
        "classes": form != "nnunet",
        "other columns": form == "folder",
    }
    present = {
        "masks": any(case.masks for case in cases),
        "patients": any(case.patient for case in cases),
        "splits": any(case.split for case in cases),
        "classes": any(case.label is not None for case in cases),
        "other columns": any(case.more for case in cases),
    }
    if lost := [name for name in held if present[name] and not held[name]]:
        yield f"the form has no place for {', '.join(lost)}: left out"
    if form in ("npz", "nnunet") and any(len(case.masks) > 1 for case in cases):
        yield f"the form has one mask per image: the first reader's of {max(len(case.masks) for case in cases)}"
