"""IDX pairs, as MNIST has them: `<prefix>images-idx3-ubyte` and `<prefix>labels-idx1-ubyte`, `.gz` or not."""

import re
from collections.abc import Sequence
from pathlib import Path

from sfumato.data.formats.archive import Locator, idx_header, read_array
from sfumato.data.manifest import Case
from sfumato.data.source.arrays.stacks import image_classes
from sfumato.data.source.discovered import DiscoveredDataset, finalise_dataset
from sfumato.data.source.listing import SourceFile
from sfumato.errors import DataError, listed

_NAME = re.compile(
    r"(?P<prefix>.*?)[._-]?(?P<kind>images|labels)[._-]idx(?P<dimensions>\d)(-ubyte)?(\.gz)?", re.IGNORECASE
)
_SPLITS = {"train": "train", "t10k": "test", "test": "test", "val": "validation"}


def is_idx(entry: SourceFile) -> bool:
    """Whether a file is named like one of an IDX pair."""
    return _NAME.fullmatch(entry.name) is not None


def find_idx_file(path: Path) -> DiscoveredDataset:
    """The images of one IDX file, with the labels of the same name beside it.

    Raises:
        DataError: as for `find_idx`.
    """
    wanted = _NAME.fullmatch(path.name)
    beside = [
        SourceFile(str(other.absolute()), (other.name,))
        for other in sorted(path.parent.iterdir())
        if wanted and (named := _NAME.fullmatch(other.name)) and named["prefix"] == wanted["prefix"]
        if other == path or named["kind"].lower() == "labels"
    ]
    return find_idx(beside)


def find_idx(entries: Sequence[SourceFile]) -> DiscoveredDataset:
    """The images of the IDX files among entries, with their labels.

    Raises:
        DataError: no file with images, or labels that do not fit.
    """
    pairs: dict[tuple[tuple[str, ...], str], dict[str, Path]] = {}
    notes = []
    for entry in entries:
        if found := _NAME.fullmatch(entry.name):
            pair = pairs.setdefault((entry.parts[:-1], found["prefix"]), {})
            first = pair.setdefault(found["kind"].lower(), Path(entry.locator))
            if str(first) != entry.locator:
                notes.append(f"{entry.where} is the same array as {first.name}: not used")
        else:
            notes.append(f"{entry.where} is no IDX file: not used")
    cases: list[Case] = []
    for (_, prefix), pair in pairs.items():
        if "images" in pair:
            cases += _pair(prefix, pair["images"], pair.get("labels"))
        else:
            notes.append(f"{pair['labels']} has labels, but its images are not there: not used")
    if not cases:
        finding = f"no IDX file with images:\n{listed([entry.where for entry in entries])}"
        raise DataError(finding, expected="...images-idx3-ubyte", code="DATA-002")
    return finalise_dataset(cases, notes, form="IDX")


def _pair(prefix: str, images: Path, labels: Path | None) -> list[Case]:
    shape = idx_header(images).shape
    if len(shape) != 3:
        raise DataError(f"{images} has the shape {shape}", expected="(count, height, width)", code="DATA-018")
    names = image_classes(str(labels), read_array(labels), shape[0]) if labels else [None] * shape[0]
    digits = len(str(shape[0] - 1))
    return [
        Case(
            id=f"{prefix}_{row:0{digits}d}" if prefix else f"{row:0{digits}d}",
            image=str(Locator(images.absolute(), str(row))),
            label=name,
            split=_SPLITS.get(prefix.lower()),
        )
        for row, name in enumerate(names)
    ]
