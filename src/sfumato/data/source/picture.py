"""A picture, volume or array, and what its path says of it."""

from typing import NamedTuple

from sfumato.data.source.listing import SourceFile


class Picture(NamedTuple):
    """What the path of a picture says; the terms are explained in `sfumato.data.source.matching.layout`.

    Attributes:
        entry: the file.
        stem: its name without ending.
        split: "train", "validation", "test" or None.
        group: the folders that say nothing else.
        role: "mask" or "image" where a folder says so; else "".
        below: how many of the last folders of the group lie in the folder of masks.
        folder: the name of that folder.
        nested: whether the folder with the role lies below the group.
        is_marked: whether its name says that it is a mask.
    """

    entry: SourceFile
    stem: str
    split: str | None
    group: tuple[str, ...]
    role: str
    below: int
    folder: str
    nested: bool
    is_marked: bool
