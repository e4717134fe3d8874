"""What a page is made of: a page has sections, one per folder; a section has blocks; a block is plain data.

Folder readers produce blocks, the template draws them, and neither knows the other.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class Note:
    """A sentence to the reader."""

    kind: ClassVar = "note"
    text: str


@dataclass(frozen=True)
class Fact:
    """A number with the sentence that explains it."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class KeyNumbers:
    """A few numbers, each explained."""

    kind: ClassVar = "facts"
    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text.

    Attributes:
        title: heading.
        columns: names of the columns.
        rows: one cell per column.
        left_out: number of further rows that the table does not show.
        caption: what the table says, or where the rest of it is.
    """

    kind: ClassVar = "table"
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One picture, inside the page.

    Attributes:
        light: the picture as a `data:` address; empty when it could not be read.
        caption: what one sees, written under it.
        width: width in pixels of the picture itself.
        height: height in pixels of the picture itself.
        dark: the picture for a dark page, if it needs another.
        title: what one sees, for those who cannot, when the picture itself says it and no caption is needed.
    """

    light: str
    caption: str
    width: int
    height: int
    dark: str = ""
    title: str = ""

    @property
    def pixelated(self) -> bool:
        """Whether it is so small that enlarging must show its pixels instead of inventing smooth ones."""
        return max(self.width, self.height) < 200


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures side by side.

    Attributes:
        title: heading.
        pictures: the pictures, in order.
        size: `small` (many in a row), `triple` (a multiple of three), `medium` (four), `wide` (two), `sheet` (one),
            `strip` (one, scrolled sideways on a phone).
        caption: how to read them.
    """

    kind: ClassVar = "gallery"
    title: str
    pictures: tuple[Image, ...]
    size: Literal["small", "triple", "medium", "wide", "sheet", "strip"] = "small"
    caption: str = ""


@dataclass(frozen=True)
class Verbatim:
    """A file shown as it is, folded away."""

    kind: ClassVar = "listing"
    title: str
    text: str


Block = Note | KeyNumbers | Table | Gallery | Verbatim


@dataclass(frozen=True, kw_only=True)
class Section:
    """One folder.

    Attributes:
        title: what the folder is, e.g. "Training run".
        name: name of the folder.
        summary: one sentence for the table at the top.
        headline: blocks for the top of the page: the numbers one came for.
        blocks: everything else.
        asked: what was asked, in words: which data, how many cases, which model; empty to let the page say it from
            the folder's provenance.
        reading: the answer in plain words, a sentence each: they come first.
        limits: what the answer does not say, a sentence each: few cases, no held-out set, intervals that hold 0.
    """

    title: str
    name: str
    summary: str
    blocks: tuple[Block, ...]
    headline: tuple[Block, ...] = ()
    asked: str = ""
    reading: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
