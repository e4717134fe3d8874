"""The words by which people mark what is an image and what a mask, in names of files and of folders.

One list serves pictures, volumes and arrays. A word counts before or after the rest of a name, behind a separator, at a
digit or where a capital follows a small letter: `seg_a`, `a-labelled`, `label0001`, `a_1stHO`, `leftMask`. What is left
of a name without such words is what an image and its masks have in common.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MASKS = _words(
    """
    mask masks masked segmask segmasks label labels labelled labeled labelling labeling labelmap labelmaps labelids
    gt gts gtfine gtcoarse truth truths groundtruth groundtruths goldstandard gold goldtruth
    seg segs segm segmented segmentation segmentations gmseg wmseg scseg segmentationclass segmentationobject
    segmentationmap annotation annotations annot annots anno annotated manual manuals msk msks dseg probseg
    outline outlines contour contours delineation delineations trimap trimaps roi rois
    """
)
NO_FOLDERS = _words("msk")
"""What says a mask at the end of a name, as in BIDS; a folder of it may be one of muscles and bones."""
_LINES = _words("centerline centreline")
"""What is drawn in volumes too; it also says what is drawn."""
READERS = _words("expert experts rater raters reader readers annotator annotators observer observers grader graders")
IMAGES = _words(
    """
    image images img imgs im input inputs frame frames fram photo photos picture pictures pic
    original originals orig scan scans volume volumes vol vols imaging leftimg8bit
    """
)
PLAIN_IMAGES = _words("image images img imgs input inputs")
"""Folders of these names are never classes."""
MODALITIES = _words(
    """
    ct cta cbct cect ncct mr mri mra pet us oct fundus t1 t1w t1n t1c t1ce t1gd t2 t2w t2f pd pdw flair dwi adc dce swi
    bold asl mprage mp2rage tof training test
    """
)
"""What may stand behind the name of an image beside a mask that lacks it."""
DATATYPES = _words("anat dwi func perf fmap pet")
"""Folders of BIDS for the files of one session, by how they were made."""
VIEWS = _words("fov fieldofview fovmask")
"""Masks of what the camera sees: pixels outside say nothing."""
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trainval", "trainset", "trainingset"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "valset", "validationset", "tuning"), "validation"),
    **dict.fromkeys(("test", "testing", "testset", "testingset"), "test"),
}
_SHORT = {"tr": "train", "va": "validation", "ts": "test"}
"""Splits behind the word for images or masks, as nnU-Net and the Decathlon write them: `imagesTr`, `labelsTs`."""
SIDES = _words("left right l r lt rt sin dex")
COLOURS = _words("color colour colors colours colored coloured colorized colourized")
PREVIEWS = _words(
    """
    overlay overlays overlaid visualisation visualisations visualization visualizations preview previews superimposed
    blended thumbnail thumbnails distance distances distancemap distancemaps bbox bboxes
    """
)
"""Pictures made of masks, or of masks over their images: neither."""
SECONDARY = (
    _words("instance instances instanceids object objects segmentationobject edge edges border borders")
    | COLOURS
    | PREVIEWS
)
"""Further pictures of the same masks, in colours or by object: the masks beside them are meant."""
STRUCTURES = _words(
    """
    cup disc disk optic od oc fovea macula vessel vessels artery arteries vein veins lesion lesions lung lungs heart
    clavicle clavicles liver spleen kidney kidneys pancreas stomach bladder prostate tumor tumors tumour tumours core
    edema oedema necrosis cyst nucleus nuclei cell cells gland glands stroma epithelium cytoplasm myocardium myo endo
    endocardium epi epicardium ventricle atrium lv rv la ra aorta bone femur tibia cartilage skull brain head iris
    pupil sclera lens retina infection consolidation
    """
)
"""What is drawn: files that differ by such words are of classes, also where one all but fills the other."""
ABBREVIATED = _words("exp obs rad ann reviewer radiologist doctor")
"""Readers, where a number stands behind."""
BESIDE = _words("ho ids id class classes fine coarse binary bin visible png final corrected tr va ts") | SECONDARY
"""What may stand beside a word for a mask, and says nothing by itself."""
FILLERS = _words(
    "set data dataset folder files file jpeg jpg png tif tiff nii nifti dicom dcm tissue the and of a b c d"
)
PARTS = _words(
    """
    fold folds cv split splits subset subsets partition partitions batch batches part parts chunk chunks shard shards
    data dataset datasets set sets
    visit visits session sessions ses timepoint timepoints
    domain domains source target
    """
)
"""How the images of a set were divided: also into the domains from which and to which a model is adapted."""
ORIGINS = _words(
    """
    center centers centre centres site sites hospital hospitals institution institutions vendor vendors manufacturer
    manufacturers device devices scanner scanners camera cameras machine machines research
    siemens philips ge toshiba canon hitachi fuji hologic samsung mindray
    cirrus zeiss spectralis heidelberg topcon nidek optovue bosch forus remidio
    aperio hamamatsu leica ventana
    """
)
"""Where they come from: places, devices and their makers."""
VARIANTS = _words(
    """
    raw processed preprocessed unprocessed resized rescaled cropped square squared padded original originals
    enhanced normalized normalised
    denoised augmented derm dermoscopy dermoscopic clinic
    """
)
"""What was done to a picture that is there otherwise too, or which camera took it."""
BESIDE_SPLITS = _words("stage phase round release version")
"""What may stand beside the word for a split, and is a class alone (`stage_2`)."""
PORTION = re.compile(r"(?:images?|imgs?|pictures?|photos?)[ _.-]?\d+", re.IGNORECASE)
"""Folders into which the images of a set were divided, as `images_001` is."""
JOINED = {
    ("ground", "truth"): "groundtruth",
    ("ground", "truths"): "groundtruth",
    ("gold", "standard"): "goldstandard",
    ("field", "of", "view"): "fov",
    ("without", "border"): "border",
    ("without", "borders"): "borders",
}
ALPHANUMERIC = re.compile(r"[^\W_]+")
_PIECE = re.compile(r"[GCIP]TV(?![aeiouy])|\d+(?:st|nd|rd|th)(?![a-z])|\d+|[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+")
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)")
KNOWN = MASKS | READERS | IMAGES | VIEWS | MODALITIES


class Token(NamedTuple):
    """A word or number of a name, in small letters, and where it stands."""

    text: str
    start: int
    end: int

    @property
    def number(self) -> int | None:
        """The number that it is, or counts: `2` and `2nd`."""
        found = ORDINAL.fullmatch(self.text)
        digits = found[1] if found else self.text
        return int(digits) if digits.isascii() and digits.isdigit() else None

    @property
    def marks_mask(self) -> bool:
        """Whether it says that something is a mask."""
        return self.text in MASKS or self.text in READERS or self.text in VIEWS


@lru_cache(maxsize=65536)
def tokens(name: str) -> tuple[Token, ...]:
    """The words and numbers of a name."""
    found = list[Token]()
    for chunk in ALPHANUMERIC.finditer(name):
        text = chunk[0].lower()
        if text in KNOWN:
            found.append(Token(text, chunk.start(), chunk.end()))
        else:
            found += [
                Token(piece[0].lower(), chunk.start() + piece.start(), chunk.start() + piece.end())
                for piece in _PIECE.finditer(chunk[0])
            ]
    return tuple(_joined(found))


def _joined(found: list[Token]) -> list[Token]:
    """Words that are written apart, as one."""
    for words, whole in JOINED.items():
        for place in range(len(found) - len(words) + 1):
            part = found[place : place + len(words)]
            if tuple(token.text for token in part) == words:
                found[place : place + len(words)] = [Token(whole, part[0].start, part[-1].end)]
    return found


class Stripped(NamedTuple):
    """A name without words at its ends: what is left, and the words and numbers that were taken off."""

    stem: str
    taken: tuple[Token, ...]


@lru_cache(maxsize=65536)
def without_mask_words(name: str) -> tuple[Stripped, ...]:
    """The ways to take off what marks a mask, the most likely first: behind, before, both; empty for other names."""
    words = tokens(name)
    tail, head = _tail_of_mask(words), _head(words, MASKS | READERS | VIEWS)
    ways = [_cut(name, words, 0, tail)] if tail else []
    if head and head < len(words):
        ways.append(_cut(name, words, head, 0))
    if head and tail and head + tail < len(words):
        ways.append(_cut(name, words, head, tail))
    return tuple(dict.fromkeys(ways))


@lru_cache(maxsize=65536)
def without_image_words(name: str) -> tuple[Stripped, ...]:
    """The same for what marks an image; then without what made it (`_ct`, `_t1w`), or the number of its channel."""
    words = tokens(name)
    ways = list[Stripped]()
    for known in (IMAGES, IMAGES | MODALITIES):
        tail, head = _tail(words, known), _head(words, known)
        ways += [_cut(name, words, 0, tail)] * bool(tail)
        ways += [_cut(name, words, head, 0)] * (0 < head < len(words))
        ways += [_cut(name, words, head, tail)] * (head > 0 and tail > 0 and head + tail < len(words))
    if len(words) > 1 and re.fullmatch(r"0\d{3}", words[-1].text):
        ways.append(_cut(name, words, 0, 1))
    return tuple(dict.fromkeys(ways))


def _cut(name: str, words: tuple[Token, ...], head: int, tail: int) -> Stripped:
    """A name without its first and last tokens, and the separators beside them."""
    kept = words[head : len(words) - tail]
    if not kept:
        return Stripped("", words)
    start = kept[0].start if head else 0
    end = len(name) if not tail else words[len(words) - tail].start
    return Stripped(name[start:end].strip(" _-.") if head or tail else name, words[:head] + words[len(words) - tail :])


def _head(words: tuple[Token, ...], known: frozenset[str]) -> int:
    count = 0
    while count < len(words) and words[count].text in known:
        count += 1
    return count


def _tail(words: tuple[Token, ...], known: frozenset[str]) -> int:
    count = 0
    while count < len(words) and words[-1 - count].text in known:
        count += 1
    return count


def _tail_of_mask(words: tuple[Token, ...]) -> int:
    """How many tokens at the end say that it is a mask, and whose: `_mask_1`, `_gtFine_labelIds`, `_1st_manual`."""
    count, marked = 0, False
    for place in range(len(words) - 1, -1, -1):
        token = words[place]
        before = words[place - 1] if place else None
        after_word = before is not None and (before.marks_mask or before.text in BESIDE)
        if token.marks_mask:
            marked = True
        elif ORDINAL.fullmatch(token.text):
            marked = marked or count > 0
        elif token.number is not None:
            if not (after_word and count == 0):
                break
        elif token.text not in BESIDE and not (token.text in SPLIT_WORDS and count):
            break
        if token.text in SPLIT_WORDS and not after_word:
            break
        count += 1
    while count and not (words[-count].marks_mask or ORDINAL.fullmatch(words[-count].text)):
        count -= 1
    return count if marked else 0


def says_mask(name: str, *, anywhere: bool = False) -> bool:
    """Whether a name says that it is that of a mask, by a word at one of its ends or anywhere."""
    if without_mask_words(name):
        return True
    return anywhere and any(token.text in MASKS | _LINES for token in tokens(name)[1:])


def shared_stem(name: str) -> str:
    """What is left of a name without all words for images and masks at its ends."""
    ways = without_mask_words(name)
    stem = ways[0].stem if ways else name
    plain = [way.stem for way in without_image_words(stem) if all(token.text in IMAGES for token in way.taken)]
    return plain[0] if plain else stem


class FolderWords(NamedTuple):
    """What the name of a folder says.

    Attributes:
        role: "mask", "image" or "".
        certain: nothing else stands in its name.
        split: "train", "validation", "test", or None.
        numbered: a number stands in its name.
    """

    role: str
    certain: bool
    split: str | None
    numbered: bool = False


@lru_cache(maxsize=8192)
def read_folder(name: str) -> FolderWords:
    """What the name of a folder says about the files in it."""
    words = [token.text for token in tokens(name) if token.number is None]
    numbered = len(words) < len(tokens(name))
    is_known = _knows_all(words)
    split = _first_of(words, SPLIT_WORDS) if is_known else None
    short = split or _first_of(words, _SHORT)
    masks = [word in (MASKS - NO_FOLDERS) | VIEWS for word in words]
    images = [word in IMAGES for word in words]
    reads = any(word in READERS for word in words)
    if (any(masks) and is_known) or _ends_as_labels(words):
        return FolderWords("mask", certain=True, split=short)
    if any(images) and is_known and not reads:
        return FolderWords("image", certain=True, split=short, numbered=numbered)
    if masks and (masks[0] or masks[-1]):
        return FolderWords("mask", certain=False, split=split)
    if reads and (numbered or len(words) > 1):
        return FolderWords("mask", certain=False, split=split)
    if images and (images[0] or images[-1]):
        return FolderWords("image", certain=False, split=split, numbered=numbered)
    return FolderWords("", certain=bool(split), split=split)


def _ends_as_labels(words: Sequence[str]) -> bool:
    """Whether a name ends in a word for masks and the short one for a split, as nnU-Net's: `cow_seg_labelsTr`."""
    return len(words) > 1 and words[-1] in _SHORT and words[-2] in MASKS - NO_FOLDERS


def _knows_all(words: Sequence[str]) -> bool:
    """Whether each word of a folder says a role, a split, or nothing beside one."""
    known = (KNOWN - MODALITIES) | SPLIT_WORDS.keys() | FILLERS | BESIDE | PARTS | VARIANTS
    if any(word in SPLIT_WORDS for word in words):
        known |= BESIDE_SPLITS
    return known.issuperset(words)


def _first_of(words: Sequence[str], splits: Mapping[str, str]) -> str | None:
    """The split that the first word says which says one."""
    for word in words:
        if word in splits:
            return splits[word]
    return None


@lru_cache(maxsize=8192)
def qualifier(name: str) -> tuple[str, ...]:
    """What the name of a folder says beside what lies in it: `c1` of `images_C1` and of `masks_C1`."""
    silent = MASKS | IMAGES | VIEWS | SPLIT_WORDS.keys()
    return tuple(token.text for token in tokens(name) if token.text not in silent)


def composed(name: str) -> str:
    """A name with its accents composed with their letters."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)
