"""How folders of images are read: which file is an image, which a mask, and which class, patient and split they have.

A picture has a *role* (image or mask), a *stem* (its name without ending), a *group* (the folders it lies in, other
than those that only say a role or a split) and, for masks, what their path has beyond that of their image:

    images/a.png           masks/a.png              stem a
    a.png                  a_mask.png               stem a
    x/images/1.png         x/mask-0/1.png           group x, masks of a reader or part 0
    Image_01L.jpg          Image_01L_1stHO.png      stem Image_01L, reader 1
    images/a.png           masks/liver/a.png        a class, a reader or a part: `source.several` decides
    train/cat/a.png                                 group cat, split train

Folders that hold images are classes; folders that hold an `images` and a `masks` folder each are patients. Volumes and
arrays of one case each are arranged by the same rules. What is an image and what a mask: `source.roles`. Which mask
belongs to which image: `source.pairing`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.manifest import Case, folded
from sfumato.data.source.discovered import NOTHING_SAID, DiscoveredDataset, ReadOptions, finalise_dataset
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.above import refuse_labels_above
from sfumato.data.source.matching.beside import without_pictures_beside
from sfumato.data.source.matching.byhand import as_meant, by_patterns, is_called_a_mask
from sfumato.data.source.matching.channels import channel_names, put_together
from sfumato.data.source.matching.kinds import told_masks
from sfumato.data.source.matching.making import make_cases
from sfumato.data.source.matching.ongrid import ways_on_grid
from sfumato.data.source.matching.paired import way_of_paired, ways_of_drawn
from sfumato.data.source.matching.pairing import NO_PARTNER, Matched, Owned, Parted, match
from sfumato.data.source.matching.pooled import without_pools
from sfumato.data.source.matching.previews import lies_among_previews, without_previews
from sfumato.data.source.matching.proposed import flags_for_pairs
from sfumato.data.source.matching.readings import Readings
from sfumato.data.source.matching.roles import Roles, roles_apart, sort_roles
from sfumato.data.source.matching.several import NO_LABELS, read_several
from sfumato.data.source.matching.together import without_joint_masks
from sfumato.data.source.matching.trees import refuse_trees
from sfumato.data.source.matching.unlabelled import without_encrypted, without_unlabelled
from sfumato.data.source.matching.witness import photographs_and_drawn
from sfumato.data.source.patterns import told_files
from sfumato.data.source.people.labelled import about_cases
from sfumato.data.source.picture import Picture


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
        partners: see `DiscoveredDataset`.
    """

    cases: list[Case]
    notes: list[str]
    unpaired: list[str]
    mask_names: Mapping[int, str] = MappingProxyType({})
    ignore: int | None = None
    channels: tuple[str, ...] = ()
    bare_alone: bool = False
    partners: str = ""

    def found(self, form: str) -> DiscoveredDataset:
        """The same as what was found in a source."""
        found = finalise_dataset(self.cases, self.notes, form=form, unpaired=self.unpaired)
        names = self.mask_names or found.mask_names
        return found._replace(
            mask_names=names,
            ignore=self.ignore,
            channels=self.channels,
            bare_alone=self.bare_alone,
            partners=self.partners,
        )


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
        free = [entry for entry in entries if entry not in known]
        parted = _by_names(free, masks, known, hints, anywhere=anywhere)
        if masks is None and not hints.images_only:
            refuse_labels_above(parted.matched, free)
    if hints.images_only:
        cases, notes = make_cases(parted.images, {}, {}, hints.class_level, labelled=labelled)
        return Arranged(cases, [*parted.notes, *notes], [])
    readings = read_several(parted.matched.owned, hints, labels)
    read = _read(parted, readings, entries, hints)
    partners = _partners(parted, read, entries, apart=masks is not None)
    if (read.matched.unpaired and not hints.drop_unpaired) or not read.images:
        kept = 0 if partners.on_grid else len(read.images)
        pairs = partners.pairs or partners.on_grid
        raise read.matched.complaint(kept=kept, pairs=pairs, images=partners.images, masks=partners.masks)
    arranged = _arranged(parted, readings, read, hints.class_level, labelled=labelled)
    return arranged._replace(partners=next(filter(None, partners), ""))


def _as_taught(
    entries: Sequence[SourceFile], known: Mapping[SourceFile, str], hints: ReadOptions, *, anywhere: bool
) -> list[Case]:
    """The cases of files that are called after the channels of a model; none where no file is."""
    silent = about_cases(entries, anywhere=anywhere)
    images = [entry for entry in entries if entry not in known and not is_called_a_mask(entry, silent, anywhere)]
    found = put_together(images, hints.channels)
    often = Counter(folded(name) for name, _ in found)
    cases = list[Case]()
    for name, (first, *others) in found:
        is_unique = often[folded(name)] == 1
        case = name if is_unique else "_".join((*first.parts[:-1], name))
        cases.append(Case(id=case, image=first.locator, channels=tuple(entry.locator for entry in others)))
    return cases


def _by_names(
    free: Sequence[SourceFile],
    masks: Sequence[SourceFile] | None,
    known: Mapping[SourceFile, str],
    hints: ReadOptions,
    *,
    anywhere: bool,
) -> Parted:
    """Images and masks by the names of files and folders."""
    free, notes = without_encrypted(free)
    if masks is None:
        roles = sort_roles(free, anywhere=anywhere, look=not hints.images_only)
    else:
        roles = roles_apart(free, masks, anywhere=anywhere)
    notes += roles.notes
    if hints.images_only:
        return Parted(roles.images, Matched({}, {}, [], []), notes, has_masks=False)
    roles = _without_made(roles, has_known=bool(known))
    refuse_trees(roles.images, roles.masks)
    matched = match(roles.images, roles.masks, known)
    has_masks = bool(roles.masks or known)
    return Parted(roles.images, matched, [*notes, *roles.notes, *matched.notes], has_masks=has_masks)


def _without_made(roles: Roles, *, has_known: bool) -> Roles:
    """Images and masks without pictures that were made of them, and notes on these alone."""
    previews, masks = list[Picture](), list[Picture]()
    for mask in roles.masks:
        (previews if lies_among_previews(mask) else masks).append(mask)
    images, notes = without_previews([*roles.images, *previews], drawn=bool(masks) or has_known)
    if masks:
        images, copies = without_pools(images)
        notes += copies
    return Roles(images, masks, notes)


class _Read(NamedTuple):
    """The images that are left once their masks are read, what was matched of them, and notes on what is left out."""

    images: list[Picture]
    matched: Matched
    notes: list[str]


def _read(parted: Parted, readings: Readings, entries: Sequence[SourceFile], hints: ReadOptions) -> _Read:
    """What is left where masks are read as said; without masks all are images, and none lacks one."""
    if not parted.has_masks:
        return _Read(parted.images, parted.matched._replace(bare=[], orphans=[]), [])
    drawn = {image: masks for image, masks in parted.matched.owned.items() if image in readings.masks}
    matched = parted.matched._replace(owned=drawn, bare=_bare(parted, readings))
    matched, notes = without_unlabelled(matched, parted.images)
    matched, beside = without_pictures_beside(matched, parted.images, said=hints.masks is not None)
    notes += beside
    if readings.names and not (hints.images or hints.masks):
        matched, joint = without_joint_masks(matched, entries)
        notes += joint
    images = [image for image in parted.images if image.entry.locator in readings.masks]
    return _Read(images, matched, notes)


def _bare(parted: Parted, readings: Readings) -> list[str]:
    """Images that no reading is left of, other than further channels."""
    channels = {image.entry.locator for group in parted.matched.channels.values() for image in group[1:]}
    images = [image.entry.locator for image in parted.images]
    return [image for image in images if image not in readings.masks and image not in channels]


class _Partners(NamedTuple):
    """Flags for images and masks without a partner.

    Attributes:
        pairs: those that give them one.
        on_grid: those of images on whose grid the masks lie that names give to others.
        images: those of images that have masks alone, where the others are other pictures of them.
        masks: those of one kind of masks, where images have several.
    """

    pairs: str = ""
    on_grid: str = ""
    images: str = ""
    masks: str = ""


def _partners(parted: Parted, read: _Read, entries: Sequence[SourceFile], *, apart: bool) -> _Partners:
    """The flags for what has no partner; those that pair it only where masks are no folder `apart`."""
    if not read.matched.unpaired:
        return _Partners()
    pairs, on_grid = ("", "") if apart else (_flags_for_pairs(read, entries), _flags_on_grid(read.matched, entries))
    drawn = "" if apart else ways_of_drawn(read.matched, entries)
    return _Partners(pairs, on_grid, images=way_of_paired(parted), masks=drawn)


def _flags_on_grid(matched: Matched, entries: Sequence[SourceFile]) -> str:
    """The flags of images without a mask, where the masks of others lie on their grid; empty where they do not."""
    if not matched.bare or not matched.owned:
        return ""
    image, masks = next(iter(matched.owned.items()))
    channels = [channel.entry.locator for channel in matched.channels.get(image, ())]
    return ways_on_grid(channels or [image], masks[0].entry.locator, entries)


def _flags_for_pairs(read: _Read, entries: Sequence[SourceFile]) -> str:
    """The flags that pair the images and masks without a partner; empty where none do."""
    bare, orphans = set(read.matched.bare), set(read.matched.orphans)
    images, drawn = photographs_and_drawn([entry for entry in entries if entry.locator in bare])
    masks = [entry for entry in entries if entry.locator in orphans]
    return flags_for_pairs(images, [*masks, *drawn], entries, kept=len(read.images))


def _arranged(parted: Parted, readings: Readings, read: _Read, class_level: int, *, labelled: bool) -> Arranged:
    """The cases of images and their masks, and what to know about them."""
    matched, images = read.matched, read.images
    names = channel_names(images, matched.channels)
    bare = set(matched.bare)
    left = [image for image in parted.images if image.entry.locator in bare]
    cases, about = make_cases(images, readings.masks, matched.channels, class_level, labelled=labelled, left=left)
    notes = list[str]()
    if parted.has_masks:
        notes.append(_told(images, matched, readings, names))
    notes += parted.notes
    if matched.unpaired:
        notes.append(f"{NO_PARTNER}: {matched.counts()}")
    notes += [*read.notes, *readings.notes, *about]
    return Arranged(
        cases,
        notes,
        matched.unpaired,
        mask_names=readings.names,
        ignore=readings.ignore,
        channels=names,
        bare_alone=bool(matched.unpaired) and not matched.orphans,
    )


def _told(images: Iterable[Picture], matched: Matched, readings: Readings, channels: Sequence[str]) -> str:
    """The pairing that was found, in a line."""
    once = {image.entry.locator: image for image in images}
    unused = {mask.entry for mask in readings.unused}
    files, places, masks = list[SourceFile](), list[int](), list[Owned]()
    for locator, image in once.items():
        for place, channel in enumerate(matched.channels.get(locator, (image,))):
            files.append(channel.entry)
            places.append(place)
        masks += [mask for mask in matched.owned.get(locator, ()) if mask.entry not in unused]
    told = [f"images: {told_files(files, places)}"]
    if channels:
        told.append(f"channels: {', '.join(channels)}")
    told.append(f"masks: {told_masks(masks)}")
    if readings.told:
        told.append(readings.told)
    return "; ".join(told)
