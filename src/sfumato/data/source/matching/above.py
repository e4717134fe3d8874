"""A file of few values in the folder of each case, above the folders of its scans, beside what is called a mask.

    0/wmh.nii.gz    0/orig/3DT1.nii.gz, 3DT1_mask.nii.gz, FLAIR.nii.gz    0/pre/3DT1.nii.gz, FLAIR.nii.gz

`3DT1_mask` is called after an image, and may be of the face or the brain: the file above the scans competes with it,
so a person must choose.
"""

from collections import defaultdict
from collections.abc import Sequence

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.caseways import ways_in_cases
from sfumato.data.source.matching.pairing import Matched
from sfumato.data.source.matching.witness import have_few_values
from sfumato.data.source.patterns import told_files
from sfumato.errors import DataError, listed


def refuse_labels_above(matched: Matched, entries: Sequence[SourceFile]) -> None:
    """Refuse masks beside which a file of few values lies in the folder of each case, above its scans.

    Args:
        matched: masks and images by their names.
        entries: all files.

    Raises:
        DataError: there are such files without a partner, with the patterns of each kind of masks and of scans.
    """
    if not matched.owned:
        return
    labels = _labels_above(set(matched.unpaired), entries)
    if not labels or not have_few_values(labels):
        return
    masks = [mask.entry for of_image in matched.owned.values() for mask in of_image]
    ways = ways_in_cases(labels, masks, entries)
    if not ways:
        return
    raise DataError(
        "masks are called after some images, and a file of few values, as masks have, lies above the images in the "
        f"folder of each case:\n{listed([told_files(masks), told_files(labels)])}",
        expected="one kind of masks, and one form of the scans",
        remedy=f"say what are images and what masks: {', or '.join(ways)}",
        code="DATA-068",
    )


def _labels_above(alone: set[str], entries: Sequence[SourceFile]) -> list[SourceFile]:
    """Files of one name without a partner that are each alone in the folder of a case, above all other files of it."""
    inside, above = defaultdict[PathParts, list[SourceFile]](list), set[PathParts]()
    for entry in entries:
        inside[entry.parts[:-1]].append(entry)
        above.update(entry.parts[:depth] for depth in range(1, len(entry.parts) - 1))
    named = defaultdict[str, list[SourceFile]](list)
    for folder, files in inside.items():
        if folder in above and len(files) == 1 and files[0].locator in alone:
            named[files[0].name].append(files[0])
    most = max(named.values(), key=len, default=[])
    cases = {label.parts[:-1] for label in most}
    lie_in_cases = sum(any(entry.parts[:depth] in cases for depth in range(len(entry.parts))) for entry in entries)
    return most if len(most) > 1 and 2 * lie_in_cases > len(entries) else []
