"""A source as a folder that anyone can open: images, masks, and a table.

    with masks                       with classes and no masks       else
    images/a.png                     malignant/a.png                 images/a.png
    masks/a.png   (one reader)       benign/b.png
    masks/0/a.png (several)
    manifest.csv                     manifest.csv                    manifest.csv

Further channels lie in `images_1/`, `images_2/` ... The table holds what file names cannot: patients, splits, classes
beside masks, and every other column of the source.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from sfumato.data.conversion.setting import Conversion, ConversionStep, encode, with_progress
from sfumato.data.formats.image import write_image
from sfumato.data.manifest import file_names, write_manifest


def write_folder(conversion: Conversion, folder: Path) -> Iterator[ConversionStep]:
    """Write the cases below an empty folder."""
    places = image_places(conversion)
    readers = max((len(case.masks) for case in conversion.cases), default=0)
    written = []
    for case, name, step in with_progress(conversion):
        images = [
            str(_write_part(folder, f"{places[case.label]}{f'_{number}' if number else ''}", name, part))
            for number, part in enumerate(conversion.parts(case))
        ]
        masks = []
        for reader, mask in enumerate(conversion.masks(case) if case.masks else []):
            path = folder / "masks" / (str(reader) if readers > 1 else "") / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, mask)
            masks.append(str(path))
        written.append(replace(case, image=images[0], channels=tuple(images[1:]), masks=tuple(masks)))
        yield step
    write_manifest(folder / "manifest.csv", written)


def image_places(conversion: Conversion) -> dict[str | None, str]:
    """The folder of the images of each label."""
    labels = sorted({case.label or "" for case in conversion.cases})
    if conversion.meaning is not None or "" in labels:
        return dict.fromkeys([*labels, None], "images")
    return dict(zip(labels, file_names(labels), strict=True))


def _write_part(folder: Path, place: str, name: str, pixels: np.ndarray) -> Path:
    encoded = encode(pixels)
    path = folder / place / f"{name}{encoded.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.content)
    return path
