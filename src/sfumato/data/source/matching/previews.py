"""Pictures made of masks, or of masks over their images: they are called like images, and are none.

    images/a.png, masks/a.png, overlay/a.png         a folder that is called so
    images/a.png, masks/a.png, bbox/a_mask_bbox.png  also with a word for masks in their names
    a.png, a_mask.png, a_visualisation.png           a word behind the name of an image
    images/a.png, masks/a.png, color/a.png           colours, where there are masks

They are left out where an image of their name is there, and a line says so.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sfumato.data.source.listing import PathParts
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import COLOURS, FILLERS, MASKS, PREVIEWS, shared_stem, tokens

_MAPS = frozenset(["map", "maps"])


def without_previews(images: Sequence[Picture], *, drawn: bool) -> tuple[list[Picture], list[str]]:
    """The images without pictures made of masks, and a line about these.

    Args:
        images: pictures that are no masks.
        drawn: whether there are masks beside them.
    """
    words = PREVIEWS | COLOURS if drawn else PREVIEWS
    called, plain = dict[Picture, str](), list[Picture]()
    for picture in images:
        if stem := _stem_of_preview(picture.entry.parts[:-1], picture.stem, words):
            called[picture] = stem
        else:
            plain.append(picture)
    made = _made_of(called, plain, words) if called else {}
    if not made:
        return list(images), []
    return [picture for picture in images if picture not in made], [_told(made)]


def _made_of(called: Mapping[Picture, str], plain: Sequence[Picture], words: frozenset[str]) -> dict[Picture, str]:
    """Of pictures that are called previews those of an image, and those of lost images in the folders of these."""
    known = {shared_stem(picture.stem) for picture in plain}
    made = {picture: stem for picture, stem in called.items() if shared_stem(stem) in known}
    folders = {picture.entry.parts[:-1] for picture in made}
    homes = {folder for folder in folders if _is_of_previews(folder, words)}
    beside = {picture: stem for picture, stem in called.items() if picture.entry.parts[:-1] in homes}
    lost = {picture: stem for picture, stem in beside.items() if stem != picture.stem}
    return made | lost


def _told(made: Mapping[Picture, str]) -> str:
    """The line about previews, and how they are taken for images all the same."""
    where = told_files([picture.entry for picture in made], [picture.entry.parts[:-1] for picture in made])
    first, stem = next(iter(made.items()))
    pattern = "/".join((*first.entry.parts[:-1], first.entry.name.replace(stem, "{id}", 1)))
    return (
        f"pictures made of masks or images, not used: {where}; images of their names are beside them. If these are the "
        f"images: --images '{pattern}'"
    )


def _stem_of_preview(folders: PathParts, name: str, words: frozenset[str]) -> str:
    """What a preview is called without the word for it; empty for other pictures."""
    found = tokens(name)
    if len(found) > 1 and found[-1].text in words:
        return name[: found[-1].start].rstrip(" _-.")
    if len(found) > 1 and found[0].text in words:
        return name[found[0].end :].lstrip(" _-.")
    return name if _is_of_previews(folders, words) else ""


def lies_among_previews(picture: Picture) -> bool:
    """Whether a picture that no folder calls a mask lies in a folder of previews, whatever its own name says."""
    return picture.role != "mask" and _is_of_previews(picture.entry.parts[:-1], PREVIEWS)


@lru_cache(maxsize=4096)
def _is_of_previews(folders: PathParts, words: frozenset[str]) -> bool:
    """Whether a folder is called after previews; after colours, and by nothing else."""
    named = [{token.text for token in tokens(part)} for part in folders]
    silent = words | FILLERS | MASKS | _MAPS
    return any(texts & PREVIEWS or (texts & words and texts <= silent) for texts in named if texts)
