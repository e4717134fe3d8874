#!/usr/bin/env bash
# Pillow 12.3.0: the name that a picture's format has cannot always be given back to Image.open.
#
# One would expect: Image.open(file, formats=[image.format]) opens what was opened before, and a list of names that one
# may open refuses all others with UnidentifiedImageError.
# What happens: JPEG files with a second picture behind the first (phones, dermatoscopes: gain maps, stereo, previews)
# have the format "MPO". formats=["MPO"] raises KeyError: 'MPO'; so does a PNG with formats=["MPO", "PNG"], as names are
# tried in their order. formats=["JPEG"] opens them, and then says that it opened "MPO".
#
# Why it matters: a list of allowed formats that was made of the formats in a data set ends in a bare KeyError, and one
# that has JPEG lets images pass whose format is not in the list.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pillow==12.3.0
"$folder/venv/bin/python" - "$folder" <<'PROGRAM'
import sys
from pathlib import Path

import PIL
from PIL import Image

folder = Path(sys.argv[1])
picture, preview = Image.new("RGB", (32, 24), "teal"), Image.new("RGB", (16, 12), "teal")
picture.save(folder / "lesion.jpg", "MPO", save_all=True, append_images=[preview])
picture.save(folder / "lesion.png")


def opened(name: str, formats: list[str]) -> str:
    try:
        with Image.open(folder / name, formats=formats) as image:
            return str(image.format)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


with Image.open(folder / "lesion.jpg") as image:
    found = str(image.format)
said = {
    "the JPEG, formats=[its own format]": opened("lesion.jpg", [found]),
    'the JPEG, formats=["JPEG"]': opened("lesion.jpg", ["JPEG"]),
    'the PNG, formats=["MPO", "PNG"]': opened("lesion.png", ["MPO", "PNG"]),
    'the PNG, formats=["PNG", "MPO"]': opened("lesion.png", ["PNG", "MPO"]),
}
print(f"Pillow {PIL.__version__}: a JPEG with a preview has the format {found}")
for case, answer in said.items():
    print(f"{case}: {answer}")
sys.exit(0 if list(said.values()) == ["KeyError: 'MPO'", "MPO", "KeyError: 'MPO'", "PNG"] else 1)
PROGRAM
