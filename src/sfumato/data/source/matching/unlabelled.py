"""Images in folders of their own without any mask, as contests keep those of their test images to themselves.

    Training/p1/p1_t1.nii.gz, p1_seg.nii.gz    ValidationData/p9/p9_t1.nii.gz
    imagesTr/1.png, labelsTr/1.png             imagesTs/9.png

They are no images whose masks were lost: they are left out, and told. So is truth that a contest gives encrypted, which
is noise in the shape of masks (`test_201_gdencrypt.nii.gz`).
"""

import re
from collections.abc import Sequence
from pathlib import PurePath

from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.pairing import Matched
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import SPLIT_WORDS, tokens

HELD = {word for word, split in SPLIT_WORDS.items() if split != "train"} | {
    *("tests", "ts", "va", "unlabelled", "unlabeled", "unannotated")
}
"""Words in the names of folders of images whose masks may be held back."""


_ENCRYPTED = re.compile(r"encrypt(?:ed)?$", re.IGNORECASE)


def without_encrypted(entries: Sequence[SourceFile]) -> tuple[list[SourceFile], list[str]]:
    """The files without those that are called encrypted, and a note on these."""
    left = [entry for entry in entries if _ENCRYPTED.search(entry.stem)]
    if not left or len(left) == len(entries):
        return list(entries), []
    note = (
        f"files that are called encrypted, not used: {told_files(left)}; --images and --masks with a pattern name them"
    )
    return [entry for entry in entries if not _ENCRYPTED.search(entry.stem)], [note]


def without_unlabelled(matched: Matched, images: Sequence[Picture]) -> tuple[Matched, list[str]]:
    """What was matched without images in folders of their own that hold no mask, and a note on these."""
    bare = set(matched.bare)
    perhaps = [(image.entry, held) for image in images if image.entry.locator in bare and (held := _held(image.entry))]
    if not perhaps:
        return matched, []
    drawn = [mask.entry.locator for masks in matched.owned.values() for mask in masks]
    with_masks = {folder for name in (*drawn, *matched.orphans, *matched.owned) for folder in PurePath(name).parents}
    left = [entry for entry, held in perhaps if not with_masks.issuperset(held)]
    if not left:
        return matched, []
    names = {entry.locator for entry in left}
    note = (
        f"images in folders without any mask, not used: {told_files(left)}; once there is a model, segment draws them"
    )
    return matched._replace(bare=[name for name in matched.bare if name not in names]), [note]


def _held(entry: SourceFile) -> list[PurePath]:
    """The folders of the source above an image that say what it is for."""
    above = zip(reversed(entry.parts[:-1]), PurePath(entry.locator).parents, strict=False)
    return [folder for part, folder in above if HELD & {token.text for token in tokens(part)}]
