"""Fax codes in TIFF files (CCITT Group 3 and 4): whether all rows of a strip are there.

Masks of two values are stored so, by MATLAB for one. Decoders fill up a strip that ends early with white rows and go
on, so here the codes are walked through; the pixels come from the imaging library.

    one-dimensional (RLE, Group 3)   a row is runs of white and black in turn, each coded by tens of bits at most
    two-dimensional (Group 4, and    a row is told by where its runs end beside those of the row above: at the same
      rows of Group 3 that say so)   place, up to 3 pixels off, past a run that ended, or by two plain runs

Source: ITU-T T.4 (2003), tables 2 and 3; T.6 (1988), 2.2; TIFF 6.0, section 11.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

RLE, GROUP3, GROUP4 = 2, 3, 4
"""TIFF's numbers of the three compressions."""

LOOK = 13
"""Bits of the longest code."""

_WHITE = (
    "00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 "
    "101011 0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 "
    "00000011 00011010 00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 "
    "00101011 00101100 00101101 00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 "
    "00100101 01011000 01011001 01011010 01011011 01001010 01001011 00110010 00110011 00110100 11011 10010 "
    "010111 0110111 00110110 00110111 01100100 01100101 01101000 01100111 011001100 011001101 011010010 "
    "011010011 011010100 011010101 011010110 011010111 011011000 011011001 011011010 011011011 010011000 "
    "010011001 010011010 011000 010011011"
)
_BLACK = (
    "0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 "
    "0000010111 0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 "
    "00000011000 000011001010 000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 "
    "000001101011 000011010010 000011010011 000011010100 000011010101 000011010110 000011010111 000001101100 "
    "000001101101 000011011010 000011011011 000001010100 000001010101 000001010110 000001010111 000001100100 "
    "000001100101 000001010010 000001010011 000000100100 000000110111 000000111000 000000100111 000000101000 "
    "000001011000 000001011001 000000101011 000000101100 000001011010 000001100110 000001100111 0000001111 "
    "000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100 0000001101101 "
    "0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100 "
    "0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 "
    "0000001011010 0000001011011 0000001100100 0000001100101"
)
_LONG = (
    "00000001000 00000001100 00000001101 000000010010 000000010011 000000010100 000000010101 000000010110 "
    "000000010111 000000011100 000000011101 000000011110 000000011111"
)
"""Codes of runs of 0 to 63 pixels, then of 64, 128 ... 1728; of both colours, 1792 ... 2560."""

_PASS, _PLAIN = "pass", "plain"
_MODES: Mapping[str, str | int] = {
    "1": 0,
    "011": 1,
    "000011": 2,
    "0000011": 3,
    "010": -1,
    "000010": -2,
    "0000010": -3,
    "0001": _PASS,
    "001": _PLAIN,
}
"""Codes of a row beside the one above: how far to the right of a run's end there, or what else."""


class _Code(NamedTuple):
    """What a code means, and its bits; 0 bits where there is no such code."""

    value: str | int
    size: int


def _table(codes: Mapping[str, str | int]) -> list[_Code]:
    """The code that each of the next `LOOK` bits begin with."""
    table = [_Code(0, 0)] * 2**LOOK
    for code, value in codes.items():
        first, count = int(code, 2) << (LOOK - len(code)), 2 ** (LOOK - len(code))
        table[first : first + count] = [_Code(value, len(code))] * count
    return table


def _runs(colour: str) -> dict[str, str | int]:
    lengths = (*range(64), *range(64, 1729, 64), *range(1792, 2561, 64))
    return dict(zip(f"{colour} {_LONG}".split(), lengths, strict=True))


_RUNS, _MODE = (_table(_runs(_WHITE)), _table(_runs(_BLACK))), _table(_MODES)


def check_fax(strip: bytes, *, kind: int, rows: int, width: int, options: int = 0, reversed_bits: bool = False) -> None:
    """Refuse a strip that has not all rows.

    Args:
        strip: its codes.
        kind: `RLE`, `GROUP3` or `GROUP4`.
        rows: how many it should have.
        width: pixels of a row.
        options: TIFF's T4Options.
        reversed_bits: whether the first pixel is in the lowest bit (FillOrder 2).

    Raises:
        ValueError: a row is missing, or is not of this width.
    """
    walk = _Walk(strip, width, reversed_bits=reversed_bits)
    above = [width] * 3
    for row in range(rows):
        try:
            if kind == GROUP3:
                walk.skip_line_end()
            flat = kind == RLE or (kind == GROUP3 and not (options & 1 and walk.bit() == 0))
            above = [*(walk.flat() if flat else walk.beside(above)), *[width] * 3]
        except (IndexError, ValueError) as error:
            raise ValueError(f"a strip has {row} of {rows} rows: its fax codes end early or are damaged") from error
        if kind == RLE:
            walk.align()


class _Walk:
    """A walk through the codes of a strip; past its end an `IndexError`."""

    def __init__(self, strip: bytes, width: int, *, reversed_bits: bool) -> None:
        codes = np.frombuffer(strip, np.uint8)
        bits = np.unpackbits(codes, bitorder="little" if reversed_bits else "big")
        ahead = np.zeros(len(bits), np.int32)
        for place in range(min(LOOK, len(bits))):
            ahead[: len(bits) - place] |= bits[place:].astype(np.int32) << (LOOK - 1 - place)
        self._ahead: list[int] = ahead.tolist()
        self._place, self._width = 0, width

    def bit(self) -> int:
        """The next bit."""
        self._place += 1
        return self._ahead[self._place - 1] >> (LOOK - 1)

    def align(self) -> None:
        """Go on at the next byte."""
        self._place += -self._place % 8

    def skip_line_end(self) -> None:
        """Go past EOL, at least eleven zeros and a one, if it is there."""
        if self._ahead[self._place] >> 2 == 0:
            while self.bit() == 0:
                pass

    def flat(self) -> list[int]:
        """Where the runs of a row end that stands for itself."""
        ends, done, colour = [], 0, 0
        while done < self._width:
            done += self._run(colour)
            ends.append(done)
            colour ^= 1
        if done > self._width:
            raise ValueError("a row is too long")
        return ends

    def beside(self, above: list[int]) -> list[int]:
        """Where the runs of a row end that is told beside the one above."""
        ends, done, colour = [], -1, 0
        while done < self._width:
            near = _near(above, done, colour)
            mode = self._code(_MODE)
            if mode == _PASS:
                done = above[near + 1]
            elif mode == _PLAIN:
                ends += [max(done, 0) + self._run(colour)]
                ends += [ends[-1] + self._run(colour ^ 1)]
                done = ends[-1]
            else:
                done = self._later(above[near] + int(mode), than=done)
                ends.append(done)
                colour ^= 1
        if done > self._width:
            raise ValueError("a row is too long")
        return ends

    @staticmethod
    def _later(place: int, *, than: int) -> int:
        if place < than or place < 0:
            raise ValueError("a run ends before it begins")
        return place

    def _run(self, colour: int) -> int:
        """Pixels of a run: codes of many pixels, then one of less than 64."""
        length = 0
        while True:
            part = int(self._code(_RUNS[colour]))
            length += part
            if part < 64:
                return length

    def _code(self, table: list[_Code]) -> str | int:
        code: _Code = table[self._ahead[self._place]]
        if code.size == 0:
            raise ValueError("no code begins so")
        self._place += code.size
        if self._place > len(self._ahead):
            raise IndexError
        return code.value


def _near(above: list[int], done: int, colour: int) -> int:
    """Which run of the row above ends next, to the right of a place, where the other colour begins."""
    place = min(bisect_right(above, done), len(above) - 3)
    return place + (place % 2 != colour)
