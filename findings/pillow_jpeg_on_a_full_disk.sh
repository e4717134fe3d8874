#!/usr/bin/env bash
# Pillow 13.0.0: saving a JPEG where the disk fills up raises nothing, and leaves a file that is cut.
#
# Expected: what every other format does, an OSError, and no half-written file. Seen: `save` returns as if all were well
# where the room ends within the last piece that the encoder hands to the system (64 KiB; with optimize=True the whole
# file): so with most tiles, thumbnails and slices, wherever it ends. A write that takes only a part of the piece is no
# error there. The file opens, has the right size in pixels, and fails when its pixels are read. A name and a file object
# do the same; saving into memory and writing the bytes raises.
#
# It matters to who exports tiles or slices onto a quota that runs out: the loop ends well, the damage shows in training.
# A limit on the size of files stands for the full disk here, since anybody may set one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import os
import random
import resource
import sys

import PIL
from PIL import Image

LIMIT = 20_000


def said(act) -> str:
    """What an act raises while no file may grow beyond the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        act()
    except OSError as error:
        return f"{type(error).__name__}: {error}"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return "nothing"


def through_memory() -> None:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    with open("memory.jpg", "wb") as file:
        file.write(buffer.getvalue())


image = Image.frombytes("RGB", (300, 300), random.Random(0).randbytes(300 * 300 * 3))
image.save("whole.jpg")
print(f"Pillow {PIL.__version__}: a JPEG of {os.path.getsize('whole.jpg')} bytes, where a file may have {LIMIT}")
seen = {name: said(lambda name=name: image.save(name)) for name in ("cut.jpg", "cut.png", "cut.tif", "cut.bmp")}
seen["through memory"] = said(through_memory)
for name, words in seen.items():
    print(f"{name}: raised {words}; {os.path.getsize(name) if os.path.exists(name) else 'no'} bytes are there")
try:
    with Image.open("cut.jpg") as opened:
        print(f"cut.jpg opens with {opened.size} pixels")
        opened.load()
    whole = True
except OSError as error:
    print(f"reading its pixels: {error}")
    whole = False
silent = [name for name, words in seen.items() if words == "nothing"]
sys.exit(0 if silent == ["cut.jpg"] and not whole else 1)
PYTHON
