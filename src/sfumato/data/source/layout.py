"""How folders of images are read: which file is an image, which a mask, and which class, patient and split they have.

A picture has a *role* (image or mask), a *stem* (its name without ending), a *group* (the folders it lies in, other
than those that only say a role or a split) and, for masks, what their path has beyond that of their image:

    images/a.png           masks/a.png              stem a
    a.png                  a_mask.png               stem a
    x/images/1.png         x/mask-0/1.png           group x, masks of a reader or part 0
    Image_01L.jpg          Image_01L_1stHO.png      stem Image_01L, reader 1
    images/a.png           masks/liver/a.png        a class, a reader or a part: `source.several` decides
    train/cat/a.png                                 group cat, split train

Role folders are known by the words of `source.words` alone, so a folder `busi_masks` says nothing about its files. Only
where no mask is found that way is a folder with such a word at one end of its name (`ISIC_GroundTruth`), or one called
after a reader (`rater1`), taken for one of masks - if most of its files have the name of an image elsewhere. Where
names say nothing, the pixels of a few files do (`source.witness`).

Folders that hold images are classes; folders that hold an `images` and a `masks` folder each are patients. Volumes and
arrays of one case each are arranged by the same rules. Which mask belongs to which image: `source.pairing`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.manifest import Case, folded
from sfumato.data.order import natural
from sfumato.data.source.beside import without_pictures_beside
from sfumato.data.source.byhand import as_meant, by_patterns, is_called_a_mask
from sfumato.data.source.channels import channel_names, put_together
from sfumato.data.source.discovered import NOTHING_SAID, DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.dividing import VERSION, saying_alone, split_in, splitting
from sfumato.data.source.kinds import mask_kind
from sfumato.data.source.labelled import about_cases
from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.making import make_cases
from sfumato.data.source.paired import way_of_paired
from sfumato.data.source.pairing import ImageIndex, Matched, Parted, hits_by_beginning, match
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture
from sfumato.data.source.pooled import without_pools
from sfumato.data.source.previews import lies_among_previews, without_previews
from sfumato.data.source.proposed import flags_for_pairs
from sfumato.data.source.several import NO_LABELS, Readings, read_several
from sfumato.data.source.together import without_joint_masks
from sfumato.data.source.trees import refuse_trees
from sfumato.data.source.unlabelled import without_encrypted, without_unlabelled
from sfumato.data.source.witness import hardly_masks, looks_like_masks, masks_by_pixels
from sfumato.data.source.words import PLAIN_IMAGES, composed, read_folder, says_mask, tokens
from sfumato.data.source.words import SPLIT_WORDS as SPLIT_WORDS


class Arranged(NamedTuple):
    """Cases of a folder, what to know about them, and what was left out because it has no partner.

    Attributes:
        cases: the cases.
        notes: what to know.
        unpaired: what was left out because it has no partner.
        mask_names: names of the classes of masks that are a file for each class, by their values.
        ignore: the value of pixels that say nothing, where masks of the field of view were found.
        channels: how the names of the files of an image of several end, in their order.
        bare_alone: whether all that was left out are images without a mask.
    """

    cases: list[Case]
    notes: list[str]
    unpaired: list[str]
    mask_names: Mapping[int, str] = MappingProxyType({})
    ignore: int | None = None
    channels: tuple[str, ...] = ()
    bare_alone: bool = False

    def found(self, form: str) -> DiscoveredDataset:
        """The same as what was found in a source."""
        found = finalise_dataset(self.cases, self.notes, form=form, unpaired=self.unpaired)
        names = self.mask_names or found.mask_names
        return found._replace(mask_names=names, ignore=self.ignore, channels=self.channels, bare_alone=self.bare_alone)


def match_masks(
    entries: Sequence[SourceFile],
    *,
    masks: Sequence[SourceFile] | None = None,
    known: Mapping[SourceFile, str] | None = None,
    hints: ReadOptions = NOTHING_SAID,
    anywhere: bool = False,
    labels: Mapping[str, frozenset[str]] = NO_LABELS,
    labelled: bool = False,
) -> Arranged:
    """The cases among pictures (or volumes, or arrays).

    Args:
        entries: images, perhaps with masks among them.
        masks: the masks, if they are in a folder of their own; then all entries are images.
        known: masks with the locator of their image, where their content says so; "" for no image.
        hints: what the files leave open.
        anywhere: a word for masks counts wherever it stands in a name, as in those of volumes.
        labels: see `read_several`.
        labelled: see `make_cases`.

    Raises:
        DataError: images without mask or masks without image (all are listed); several masks of an image of which
            nobody can know what they are; no folder at the level that is to name the class.
    """
    known = known or {}
    if hints.images_only and hints.channels and (taught := _as_taught(entries, known, hints, anywhere=anywhere)):
        return Arranged(taught, [], [])
    if hints.images is not None or hints.masks is not None:
        hints = as_meant(hints)
        parted = by_patterns(entries, masks, hints)
    else:
        parted = _by_names([entry for entry in entries if entry not in known], masks, known, hints, anywhere=anywhere)
    if hints.images_only:
        cases, notes = make_cases(parted.images, {}, {}, hints.class_level, labelled=labelled)
        return Arranged(cases, [*parted.notes, *notes], [])
    readings = read_several(parted.matched.owned, hints, labels)
    matched, held = parted.matched, list[str]()
    if parted.has_masks:
        drawn = {image: masks for image, masks in matched.owned.items() if image in readings.masks}
        matched = matched._replace(owned=drawn, bare=_bare(parted, readings))
        matched, held = without_unlabelled(matched, parted.images)
        matched, beside = without_pictures_beside(matched, parted.images, said=hints.masks is not None)
        held += beside
        if readings.names and not (hints.images or hints.masks):
            matched, joint = without_joint_masks(matched, entries)
            held += joint
    unpaired = matched.unpaired if parted.has_masks else []
    images = [image for image in parted.images if not parted.has_masks or image.entry.locator in readings.masks]
    if (unpaired and not hints.drop_unpaired) or not images:
        every = [*entries, *(masks or ())]
        bare, orphans = (
            [entry for entry in every if entry.locator in names] for names in map(set, (matched.bare, matched.orphans))
        )
        pairs = "" if masks is not None else flags_for_pairs(bare, orphans, entries, kept=len(images))
        raise matched.complaint(kept=len(images), pairs=pairs, way=way_of_paired(parted))
    names = channel_names(images, matched.channels)
    cases, notes = make_cases(images, readings.masks, matched.channels, hints.class_level, labelled=labelled)
    told = [_told(images, matched, readings, names)] if parted.has_masks else []
    left = [f"left out because they have no partner: {matched.counts()}"] if unpaired else []
    return Arranged(
        cases,
        [*told, *parted.notes, *left, *held, *readings.notes, *notes],
        unpaired,
        readings.names,
        readings.ignore,
        names,
        bare_alone=bool(unpaired) and not matched.orphans,
    )


def _as_taught(
    entries: Sequence[SourceFile], known: Mapping[SourceFile, str], hints: ReadOptions, *, anywhere: bool
) -> list[Case]:
    """The cases of files that are called after the channels of a model; none where no file is."""
    silent = about_cases(entries, anywhere=anywhere)
    images = [entry for entry in entries if entry not in known and not is_called_a_mask(entry, silent, anywhere)]
    found = put_together(images, hints.channels)
    often = Counter(folded(name) for name, _ in found)
    return [
        Case(
            id=name if often[folded(name)] == 1 else "_".join((*first.parts[:-1], name)),
            image=first.locator,
            channels=tuple(entry.locator for entry in others),
        )
        for name, (first, *others) in found
    ]


def _bare(parted: Parted, readings: Readings) -> list[str]:
    """Images that no reading is left of, other than further channels."""
    others = {image.entry.locator for group in parted.matched.channels.values() for image in group[1:]}
    return [
        image.entry.locator
        for image in parted.images
        if image.entry.locator not in readings.masks and image.entry.locator not in others
    ]


def _by_names(
    free: Sequence[SourceFile],
    masks: Sequence[SourceFile] | None,
    known: Mapping[SourceFile, str],
    hints: ReadOptions,
    *,
    anywhere: bool,
) -> Parted:
    free, notes = without_encrypted(free)
    if masks is None:
        images, separate, guessed = sort_roles(free, anywhere=anywhere, look=not hints.images_only)
        notes += guessed
    else:
        images = _pictures(free, frozenset(), anywhere=anywhere)
        separate = [_as_mask(picture) for picture in _pictures(masks, frozenset(), anywhere=anywhere)]
    if hints.images_only:
        return Parted(images, Matched({}, {}, [], []), notes, has_masks=False)
    previews = [picture for picture in separate if lies_among_previews(picture)]
    separate = [picture for picture in separate if picture not in set(previews)]
    images, made = without_previews([*images, *previews], drawn=bool(separate or known))
    if separate:
        images, copies = without_pools(images)
        made += copies
    refuse_trees(images, separate)
    matched = match(images, separate, known)
    return Parted(images, matched, [*notes, *made, *matched.notes], has_masks=bool(separate or known))


def _as_mask(picture: Picture) -> Picture:
    """A picture of a folder of masks alone: all of its folders lie in that folder."""
    return picture._replace(role="mask", below=len(picture.group))


def sort_roles(
    entries: Sequence[SourceFile], *, anywhere: bool = False, look: bool = False
) -> tuple[list[Picture], list[Picture], list[str]]:
    """Images, masks, and notes about those whose role was guessed.

    Args:
        entries: the files.
        anywhere: see `match_masks`.
        look: whether to look at the pixels of a few where names say nothing.

    Raises:
        DataError: some look like masks, and nobody can know of what.
    """
    splits = saying_alone(splitting(entries))
    images, masks = _roles(_pictures(entries, frozenset(), anywhere=anywhere), splits)
    perhaps = {part for folders in {entry.parts[:-1] for entry in entries} for part in folders if _may_be_masks(part)}
    if masks or not (perhaps or look):
        return images, masks, []
    if perhaps:
        guessed = _roles(_pictures(entries, frozenset(perhaps), anywhere=anywhere), splits)
        if 2 * partners(*guessed) > len(guessed[1]) > 0 and not (look and hardly_masks(guessed[1])):
            note = "folders taken for masks, since most of their files are named like images: "
            return *guessed, [note + ", ".join(sorted(perhaps))]
    if not look:
        return images, [], []
    seen = masks_by_pixels(images)
    marked = [picture for picture in images if picture.is_marked]
    rest = [picture for picture in images if not picture.is_marked]
    if marked and rest and not seen.masks and looks_like_masks(marked) and looks_like_masks(rest) is False:
        return rest, [_as_mask(picture) for picture in marked], []  # which image each has, its name says, or it is told
    note = f"taken for masks, since they have few values and are named like images: {seen.told}"
    return seen.images, seen.masks, [note] if seen.masks else []


def partners(images: Sequence[Picture], masks: Sequence[Picture]) -> int:
    """How many masks have an image."""
    index = ImageIndex(images)
    found = sum(index.find(mask) is not None for mask in masks)
    return found or sum(hit is not None for _, hit in hits_by_beginning(index, masks))


def _may_be_masks(part: str) -> bool:
    folder = read_folder(part)
    return folder.role == "mask" and not folder.certain


def _pictures(entries: Sequence[SourceFile], perhaps: frozenset[str], *, anywhere: bool) -> list[Picture]:
    pictures, cases = [], _folders_of_cases(entries, anywhere=anywhere)
    silent, splits = about_cases(entries, anywhere=anywhere), splitting(entries)
    for entry in entries:
        place, stem = _place(entry.parts[:-1], perhaps, cases, silent, splits), composed(entry.stem)
        pictures.append(
            Picture(
                entry=entry,
                stem=stem,
                split=place.split,
                group=place.group,
                role=place.role,
                below=place.below,
                folder=place.folder,
                nested=place.nested,
                is_marked=says_mask(stem, anywhere=anywhere),
            )
        )
    return _marked_by_more(pictures)


def _marked_by_more(pictures: list[Picture]) -> list[Picture]:
    """Pictures all of whose names have a word for masks in common, which says nothing: a further one marks a mask.

    `S01.delineation.skullstripped` is the image of `S01.delineation.structure.label`.
    """
    if not pictures or not all(picture.is_marked for picture in pictures):
        return pictures
    said = [{token.text for token in tokens(picture.stem) if token.marks_mask} for picture in pictures]
    common = set.intersection(*said)
    if not common or all(words == common for words in said):
        return pictures
    return [picture._replace(is_marked=words > common) for picture, words in zip(pictures, said, strict=True)]


def _folders_of_cases(entries: Sequence[SourceFile], *, anywhere: bool) -> frozenset[PathParts]:
    """Folders called after images by number that hold masks too: each is a case (`img02/image`, `img02/mask`)."""
    cases = set[PathParts]()
    for entry in entries:
        folders = entry.parts[:-1]
        for depth in _numbered_images(folders):
            below = any(read_folder(part).role == "mask" for part in folders[depth:])
            if below or says_mask(composed(entry.stem), anywhere=anywhere):
                cases.add(folders[:depth])
    return frozenset(cases)


@lru_cache(maxsize=4096)
def _numbered_images(folders: tuple[str, ...]) -> tuple[int, ...]:
    """Depths of the folders that are called after images by number."""
    said = [read_folder(part) for part in folders]
    return tuple(depth for depth, folder in enumerate(said, 1) if folder.role == "image" and folder.numbered)


class _Place(NamedTuple):
    """What the folders of a picture say; see `Picture`."""

    split: str | None = None
    group: tuple[str, ...] = ()
    role: str = ""
    below: int = 0
    folder: str = ""
    nested: bool = False


@lru_cache(maxsize=4096)
def _place(
    folders: tuple[str, ...],
    perhaps: frozenset[str],
    cases: frozenset[PathParts],
    silent: frozenset[PathParts],
    splits: frozenset[PathParts],
) -> _Place:
    """What folders say; a class folder that is called `label_1` is put right in `_roles`."""
    place = _Place()
    for depth, part in enumerate(folders, 1):
        said = read_folder(part)
        if folders[:depth] in cases:
            place = place._replace(group=(*place.group, part))
            continue
        if folders[:depth] in splits:
            place = place._replace(split=split_in(part))
            continue
        place = place._replace(split=said.split or place.split)
        if folders[:depth] in silent:
            continue
        inside_masks = place.role == "mask" and said.role == "mask"
        if inside_masks and not said.certain:  # masks/reader_2
            place = place._replace(group=(*place.group, part), below=place.below + 1)
        elif said.role and (said.certain or part in perhaps or (said.role == "image" and perhaps)):
            place = place._replace(role=said.role, folder=part, below=0, nested=bool(place.group))
        elif not (said.split and not said.role):
            below = place.below + (place.role == "mask")
            place = place._replace(group=(*place.group, part), below=below)
    return place


def _roles(pictures: Sequence[Picture], splits: frozenset[PathParts]) -> tuple[list[Picture], list[Picture]]:
    """Images and masks. Where nothing is an image beside the masks, all are images."""
    images = [picture for picture in pictures if picture.role != "mask" and not picture.is_marked]
    marked = [picture for picture in pictures if picture.role != "mask" and picture.is_marked]
    masks = [picture for picture in pictures if picture.role == "mask"]
    if not images and masks:
        images, marked = [picture for picture in marked if picture.role == "image"], []
    if not images:
        return [_without_roles(picture, splits) for picture in pictures], []
    index = ImageIndex(images)
    for picture in marked:
        (images if picture.role == "image" and index.find(picture) is None else masks).append(picture)
    named = any(mask.role == "mask" or index.find(mask) for mask in masks)
    if not named and not hits_by_beginning(index, masks):
        return [_without_roles(picture, splits) for picture in pictures], []
    return sorted(images, key=lambda picture: natural(picture.entry.where)), masks


def _without_roles(picture: Picture, splits: frozenset[PathParts]) -> Picture:
    """The same picture where no folder is one of masks: those that looked like it are part of the group."""
    folders = picture.entry.parts[:-1]
    group = [
        part
        for depth, part in enumerate(folders, 1)
        if part.lower() not in PLAIN_IMAGES and not _says_split(part) and folders[:depth] not in splits
    ]
    return picture._replace(group=tuple(group), role="", below=0, folder="", nested=False)


def _says_split(part: str) -> bool:
    """Whether a folder says a split of images and nothing else: `Testing Images`, `stage_2_test_images`, `Test Set`.

    `TRAIN007` is a case.
    """
    said = read_folder(part)
    numbered = any(token.number is not None for token in tokens(VERSION.sub("", part)))
    return said.split is not None and said.certain and (said.role == "image" or not (said.role or numbered))


def _told(images: Sequence[Picture], matched: Matched, readings: Readings, channels: Sequence[str]) -> str:
    """The pairing that was found, in a line."""
    files = {image.entry.locator: matched.channels.get(image.entry.locator, (image,)) for image in images}
    kinds = [(channel.entry, place) for group in files.values() for place, channel in enumerate(group)]
    pictures = told_files([entry for entry, _ in kinds], [place for _, place in kinds])
    unused = {mask.entry for mask in readings.unused}
    owned = [mask for image in files for mask in matched.owned.get(image, ()) if mask.entry not in unused]
    masks = told_files([mask.entry for mask in owned], [mask_kind(mask)[1:4] for mask in owned])
    more = [f"channels: {', '.join(channels)}"] if channels else []
    return "; ".join([f"images: {pictures}", *more, f"masks: {masks}", *([readings.told] if readings.told else [])])
