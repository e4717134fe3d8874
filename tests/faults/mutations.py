"""Damage to files, and what reading a damaged source may end in.

A source is read as `sfumato check` reads it: found, each case measured, volumes as a whole, every picture as a mask
too. It ends in arrays or in a `SfumatoError`; never in another exception, a warning, a long wait or much memory. Where
check sums cover the pixels, what is read has to be what was written.
"""

import re
import time
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from sfumato.data.facts import case_facts
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.manifest import Case
from sfumato.data.source import find_cases
from sfumato.errors import SfumatoError

from .sound import Sound

SECONDS = 5.0
"""Processor time that a source of one damaged file may take."""

NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
WORDS = (b"", b"0", b"-1", b"1", b"7", b"65536", b"99999999999", b"1e308", b"nan", b"null", b"[]", b"{}", b'"', b"x",
         b"..", b"../a.png", b"/etc/hostname", b"\0", b"\xff", b"a/b", b"a" * 300, b"true", b",", b"\n")  # fmt: skip
KINDS = ("cut", "flip", "byte", "number", "word", "drop", "repeat", "insert", "splice", "swap")


class Edit(NamedTuple):
    """One damage to the content of a file.

    Attributes:
        kind: one of `KINDS`.
        place: byte where it starts, from the end where negative; taken modulo the length.
        size: bytes that it is about.
        value: what is put there.
    """

    kind: str
    place: int
    size: int
    value: int

    def apply(self, content: bytes) -> bytes:
        """The damaged content."""
        start = self.place % max(1, len(content))
        end = min(start + self.size, len(content))
        before, within, after = content[:start], content[start:end], content[end:]
        match self.kind:
            case "cut":
                return before
            case "flip":
                return before + bytes(byte ^ 1 << self.value % 8 for byte in within[:1]) + content[start + 1 :]
            case "byte":
                return before + bytes([self.value % 256]) * min(1, len(within)) + content[start + 1 :]
            case "number":
                return self._with_number(content, start)
            case "word":
                return self._with_word(content)
            case "drop":
                return before + after
            case "repeat":
                return before + within * (2 + self.value % 4) + after
            case "insert":
                return before + self.value.to_bytes(4, "little") * (1 + self.size // 4) + content[start:]
            case "splice":
                return before + content[self.value % max(1, len(content)) :]
            case _:
                return before + content[self.value % max(1, len(content)) :][: len(within)] + after

    def _with_number(self, content: bytes, start: int) -> bytes:
        """Another number where a size, count or offset may stand: 1 to 8 bytes in either order."""
        width = 2 ** (self.size % 4)
        number = NUMBERS[self.value % len(NUMBERS)] & (256**width - 1)
        order = "big" if self.size & 4 else "little"
        return content[:start] + number.to_bytes(width, order) + content[start + width :]

    def _with_word(self, content: bytes) -> bytes:
        """Another word among those of a text header or table."""
        words = list(re.finditer(rb"[\w.+-]+", content[:4096]))
        if not words:
            return content
        word = words[self.place % len(words)]
        return content[: word.start()] + WORDS[self.value % len(WORDS)] + content[word.end() :]


PLACES = st.one_of(st.integers(0, 63), st.integers(0, 511), st.integers(-96, -1), st.integers(0, 2**16))
EDITS = st.lists(
    st.builds(Edit, st.sampled_from(KINDS), PLACES, st.integers(1, 40), st.integers(0, 2**24)), min_size=1, max_size=3
)


def damaged(sound: Sound, edits: list[Edit]) -> bytes:
    """The target's content after all edits."""
    content = sound.files[sound.target]
    for edit in edits:
        content = edit.apply(content)
    return sound.wrap(content)


def check(sound: Sound, edits: list[Edit]) -> bool:
    """Read a damaged source; whether it was accepted.

    Raises:
        AssertionError: it took too long or too much, warned, or gave other pixels in spite of check sums.
        Exception: whatever a reader lets through that is no `SfumatoError`.
    """
    return check_content(sound, damaged(sound, edits))


def check_content(sound: Sound, content: bytes) -> bool:
    """The same with the content that the target has then."""
    with TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        write(Path(folder), sound, content)
        start = time.process_time()
        read = [pixels for pixels in read_all(Path(folder), sound.source) if pixels is not None]
        taken = time.process_time() - start
    assert taken < SECONDS, f"{taken:.1f} s"
    assert not said, [str(warning.message) for warning in said]
    if sound.checked:
        assert all(fingerprint(pixels) in original(sound.name, sound) for pixels in read), "other pixels"
    return bool(read)


def write(folder: Path, sound: Sound, content: bytes) -> None:
    """The files of a source, its target with this content."""
    for path, kept in sound.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content if path == sound.target else kept)


def read_all(folder: Path, source: str) -> Iterator[np.ndarray | None]:
    """Everything that can be read of a source; None for what is refused."""
    try:
        cases = find_cases(folder / source).cases
    except SfumatoError as error:
        refused(error)
        cases = ()
    for path in [path for path in folder.rglob("*") if path.is_file() and is_volume(path)][:1]:
        try:
            yield read_volume(path).voxels
        except SfumatoError as error:
            yield refused(error)
    for case in (*cases[:3], *cases[-1:]):
        yield from read_case(case)


def read_case(case: Case) -> Iterator[np.ndarray | None]:
    """The image and masks of a case, the image as a mask too, all of them measured."""
    for problem in case_facts(case).problems:
        yield refused(problem)
    for reader, locator in ((read_image, case.image), *((read_mask, mask) for mask in (case.image, *case.masks))):
        try:
            pixels = reader(locator)
        except SfumatoError as error:
            yield refused(error)
        else:
            yield None if is_volume(Locator.parse(locator).path) else pixels.squeeze()


def refused(error: SfumatoError) -> None:
    """None, for an error that is about the file and not about memory."""
    told = f"{error} {error.__cause__!r} {error.__context__!r}"
    assert "MemoryError" not in told and "allocate" not in told, told


@cache
def _original(name: str) -> set[tuple[object, ...]]:
    return set()


def original(name: str, sound: Sound) -> set[tuple[object, ...]]:
    """What the sound source reads as."""
    known = _original(name)
    if not known:
        with TemporaryDirectory() as folder:
            write(Path(folder), sound, sound.wrap(sound.files[sound.target]))
            known.update(fingerprint(pixels) for pixels in read_all(Path(folder), sound.source) if pixels is not None)
    return known


def fingerprint(pixels: np.ndarray) -> tuple[object, ...]:
    return pixels.shape, str(pixels.dtype), pixels.tobytes()
