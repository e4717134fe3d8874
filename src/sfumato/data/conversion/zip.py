"""A source as one ZIP archive in the form of EDM and StyleGAN, which reads fast and travels well.

    00000/img00000000.png    PNG files, stored and not deflated again (TIFF for what PNG cannot hold)
    dataset.json             {"labels": [["00000/img00000000.png", 0], ...] or null,
                              "class_names": ["benign", ...],
                              "file_names": {"00000/img00000000.png": "the id in the source.png", ...}}

The first key is EDM's own; the others keep what its writer loses. Images have any size and shape. The form has no place
for masks, patients and splits. The same source gives the same bytes.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sfumato.data.conversion.setting import Conversion, ConversionStep, encode, with_progress
from sfumato.errors import DataError, listed

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time written beside every member; the earliest that the format knows."""


def write_zip(conversion: Conversion, path: Path) -> Iterator[ConversionStep]:
    """Write the images and their classes into a new archive."""
    refuse_partly_labelled(conversion)
    labels: list[tuple[str, int]] = []
    ids: dict[str, str] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for row, (case, _, step) in enumerate(with_progress(conversion)):
            image = conversion.image(case)
            suffix, content = encode(image)
            name = f"{row // 1000:05d}/img{row:08d}{suffix}"
            archive.writestr(member(name), content)
            ids[name] = f"{case.id}{suffix}"
            if case.label is not None:
                labels.append((name, conversion.found.classes.index(case.label)))
            yield step
        entry = {"labels": labels or None, "class_names": list(conversion.found.classes), "file_names": ids}
        archive.writestr(member("dataset.json"), json.dumps(entry, ensure_ascii=False))


def member(name: str) -> zipfile.ZipInfo:
    """An entry of an archive that says nothing about when and where it was written."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


def refuse_partly_labelled(conversion: Conversion) -> None:
    """Refuse a source of which only a part has classes, where the form holds one for each image or none."""
    bare = [case.id for case in conversion.cases if case.label is None]
    if bare and len(bare) < len(conversion.cases):
        raise DataError(
            f"{len(bare)} of {len(conversion.cases)} cases have no class:\n{listed(bare)}",
            expected="a class for every case, or for none",
            remedy="give them a class, take them out, or convert to a folder",
            code="DATA-100",
        )
