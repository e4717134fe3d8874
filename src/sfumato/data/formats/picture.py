"""The one door to Pillow's readers: only the formats that we name are tried.

Pillow knows dozens of formats by their first bytes, whatever a file is called, and for some it starts another program
(an interpreter of PostScript). Other packages may add more. None of them is asked, or even loaded.
"""

import io

from PIL import Image, TiffImagePlugin, WebPImagePlugin

assert TiffImagePlugin and WebPImagePlugin  # where one that is named were missing, Pillow would load all it has

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
"""Pillow's names of what we read. A JPEG with further pictures behind it comes back as MPO."""


def open_picture(file: io.BytesIO | io.BufferedReader) -> Image.Image:
    """The picture in a file; its pixels are read when they are asked for.

    Raises:
        PIL.UnidentifiedImageError: it is in none of these formats.
        Exception: whatever Pillow raises on damaged headers.
    """
    return Image.open(file, formats=FORMATS)
