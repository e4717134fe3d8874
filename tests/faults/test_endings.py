"""Names as cameras, scanners and old systems write them: endings in upper case are the same endings."""

import re
from pathlib import Path

import pytest

from sfumato.data.channels import read_case
from sfumato.data.formats.image import read_mask
from sfumato.data.source import DiscoveredDataset, find_cases

from .sound import SOUND, Sound

NAMED_WITHIN = {"dataset.json of EDM", "manifest.csv"}
"""Sources with a file of ours that names the others."""

ALONE = {"npz with right sums", "IDX.gz with right sums", "DICOM segmentation"}
"""No sources by themselves."""

SOURCES = [sound for sound in SOUND if sound.name not in NAMED_WITHIN | ALONE]


def loud(name: str) -> str:
    """A path with the ending of its file in upper case."""
    if name.endswith((".json", "/")) or not name:
        return name
    return re.sub(r"\.[A-Za-z.]+$", _upper, name)


def _upper(ending: re.Match[str]) -> str:
    return ending[0].upper()


def found(sound: Sound, root: Path, *, upper: bool) -> DiscoveredDataset:
    for name, content in sound.files.items():
        path = root / (loud(name) if upper else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return find_cases(root / (loud(sound.source) if upper else sound.source))


@pytest.mark.parametrize("sound", SOURCES, ids=lambda sound: sound.name)
def test_upper_case_is_read_alike(sound: Sound, tmp_path: Path) -> None:
    quiet, shouted = (found(sound, tmp_path / str(upper), upper=upper) for upper in (False, True))
    assert [case.label for case in shouted.cases] == [case.label for case in quiet.cases]
    assert shouted.form == quiet.form
    for ours, theirs in zip(shouted.cases, quiet.cases, strict=True):
        assert (read_case(ours) == read_case(theirs)).all()
        assert len(ours.masks) == len(theirs.masks)
        assert all(
            (read_mask(one) == read_mask(other)).all() for one, other in zip(ours.masks, theirs.masks, strict=True)
        )
