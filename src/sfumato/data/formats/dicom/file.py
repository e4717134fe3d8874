"""Open one DICOM file without harm: what is no DICOM or grows too much is refused, and nothing of its tags is quoted.

The messages and warnings of the DICOM libraries are dropped, since they repeat the values of tags, which may be a
patient's name. Only the tags that are asked for are read.
"""

import logging
import mmap
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from sfumato.data.formats.content import MAX_RATIO, damaged, opened_file
from sfumato.errors import DataError, SfumatoError
from sfumato.files import open_file, read_file
from sfumato.shortage import raise_shortage

_WHOLE = "a whole DICOM file"

DicomDataset = Any
"""A data set of pydicom, which is installed with the extra only."""

DEFLATED = "1.2.840.10008.1.2.1.99"
_HARMLESS = 2**25
"""Bytes that a deflated file may grow to; beyond, the ratio must be sensible."""


def library(name: str) -> ModuleType:
    """A library of the extra `dicom`.

    Raises:
        DataError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise_shortage(error, reading=name)
        raise DataError(
            "DICOM files need a library that is not installed",
            expected=name.partition(".")[0],
            remedy="pip install 'sfumato[dicom]'",
            code="DATA-034",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Silence for the DICOM libraries."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom", "pylibjpeg")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def guarded(path: Path, failing: str) -> Iterator[None]:
    """Silence for the DICOM libraries; what they raise on damaged files, whatever it is, becomes an error about it."""
    try:
        with quiet():
            yield
    except SfumatoError:
        raise
    except Exception as error:  # its text is not passed on: it quotes the file
        raise_shortage(error, reading=path)
        raise damaged(path, f"{failing} ({type(error).__name__})") from None


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes, with or without a preamble."""
    try:
        with open_file(path) as file:
            return _starts_well(file.read(132))
    except OSError as error:
        raise_shortage(error, reading=path)
        return False


def has_preamble(path: Path) -> bool:
    """Whether `DICM` stands at byte 128, as it should."""
    with open_file(path) as file:
        return file.read(132)[128:] == b"DICM"


def _starts_well(head: bytes) -> bool:
    """Whether there is `DICM`, or else a short element of group 2 or 8 at the start."""
    if head[128:] == b"DICM":
        return True
    if len(head) < 132 or head[:2] not in (b"\2\0", b"\x08\0") or head[3] > 0:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return int.from_bytes(head[6:8] if explicit else head[4:8], "little") < 1024


def read_dataset(path: Path, tags: Sequence[str] | None, *, pixels: bool = False) -> DicomDataset:
    """Some tags of a file (all for None), with or without its pixels.

    Raises:
        DataError: it is missing, no DICOM file, damaged, or grows too much when it is inflated.
    """
    pydicom = library("pydicom")
    wanted = None if tags is None else list(tags)
    _refuse_foreign(path)
    with guarded(path, "its tags cannot be read"):
        _refuse_bomb(path, pydicom)
        with _mapped(path) as file:
            return pydicom.dcmread(file, force=True, stop_before_pixels=not pixels, specific_tags=wanted)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """A file of which nobody can ask more than there is: a damaged tag may claim four gigabytes for its value."""
    with open_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield mapped


def not_understood(path: Path, why: str) -> DataError:
    """The error for a file whose tags contradict each other or are not provided for."""
    return DataError(
        f"{path} is not understood: {why}",
        expected="an image or a segmentation as the DICOM standard describes it",
        remedy="export it again, or convert it to NIfTI",
        code="DATA-046",
    )


def _refuse_foreign(path: Path) -> None:
    with opened_file(path, expected=_WHOLE) as file:
        head = file.read(132)
    if not _starts_well(head):
        raise DataError(
            f"{path} is no DICOM file",
            expected="DICM at byte 128, or a tag of group 2 or 8 at the start",
            remedy="take it out of the folder",
            code="DATA-005",
        )


def _refuse_bomb(path: Path, pydicom: ModuleType) -> None:
    """Inflate a deflated file no further than is sensible, before the library inflates all of it."""
    if not _is_deflated(path, pydicom):
        return
    content = read_file(path)
    limit = max(MAX_RATIO * len(content), _HARMLESS)
    first = 132 if content[128:132] == b"DICM" else 0  # the length of group 2 is in its first element
    start = first + 12 + int.from_bytes(content[first + 8 : first + 12], "little")
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    stream.decompress(content[start:], limit)
    if stream.unconsumed_tail:
        raise DataError(
            f"{path} has {len(content):,} bytes and grows to more than {limit:,} when it is inflated",
            expected=f"at most {MAX_RATIO} times its size",
            remedy="do not trust this file; ask for it uncompressed",
            code="DATA-007",
        )


def _is_deflated(path: Path, pydicom: ModuleType) -> bool:
    if has_preamble(path):
        with _mapped(path) as file:
            file.seek(132)
            meta = pydicom.filereader.read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
            return bool(meta.get("TransferSyntaxUID") == DEFLATED)
    with open_file(path) as file:
        return DEFLATED.encode() in file.read(2**16)
