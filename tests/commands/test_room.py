"""How much memory masks take is told beforehand, and what no machine holds is refused before anything is written."""

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.extent import Extent, extent
from sfumato.errors import ResourceError
from sfumato.outputs import room
from sfumato.outputs.room import Work
from sfumato.verbs.segment import segment

LARGE = 10_000
"""Sides of a picture whose header alone is read here."""

VOLUME = 300 * 512 * 512
PICTURE = 6000 * 6000


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    Image.new("L", (60, 40)).save(folder / "small.png")
    Image.new("L", (LARGE, LARGE // 10)).save(folder / "wide.png")
    return folder


def test_a_dry_run_tells_what_the_largest_case_takes(
    segment_run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = segment(segment_run, pictures, out=tmp_path / "out", samples=4, dry_run=True)
    assert told.room is not None and told.room.id == "wide" and told.room.size == (LARGE // 10, LARGE)
    words = " ".join("".join(capsys.readouterr()).split())
    assert "memory: about" in words and "for wide of 1000 x 10000" in words
    more = segment(segment_run, pictures, out=tmp_path / "out", samples=12, dry_run=True)
    assert more.room is not None and more.room.needed > told.room.needed + 7 * LARGE * LARGE // 10


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_memory_does_not_hold_is_refused_before_anything_is_written(
    segment_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setattr(room, "total_memory", lambda: 100_000_000)
    out = tmp_path / "out"
    with pytest.raises(ResourceError, match=r"wide of 1000 x 10000 take about .* of memory") as refused:
        segmenting.segment(segment_run, pictures, out=out, samples=4, sampling=SamplingFlags(steps=2), dry_run=dry_run)
    assert refused.value.exit_code == 4 and "--samples" in refused.value.remedy and not out.exists()


def test_headers_tell_sizes(pictures: Path, tmp_path: Path) -> None:
    assert extent(str(pictures / "small.png")) == Extent((40, 60), 1)
    Image.new("RGB", (7, 5)).save(tmp_path / "rgb.png")
    assert extent(str(tmp_path / "rgb.png")) == Extent((5, 7), 3)
    scan = nibabel.Nifti1Image(np.zeros((9, 8, 7), np.int16), np.diag([0.5, 1.0, 3.0, 1.0]))
    nibabel.save(scan, tmp_path / "scan.nii.gz")
    assert extent(f"{tmp_path / 'scan.nii.gz'}::axial/2") == Extent((7, 8, 9), 2, (3.0, 1.0, 0.5))
    assert extent(f"{tmp_path / 'scan.nii.gz'}::sagittal/2") == Extent((9, 7, 8), 2, (0.5, 3.0, 1.0))


@pytest.mark.parametrize("name", ["damaged.png", "damaged.nii.gz", "cases.zip::one.png"])
def test_a_header_that_is_not_understood_tells_nothing(tmp_path: Path, name: str) -> None:
    file, _, member = name.partition("::")
    (tmp_path / file).write_bytes(b"nothing of the kind")
    assert extent(f"{tmp_path / file}{'::' if member else ''}{member}") is None


def scan(**changes: object) -> Work:
    """A CT of 512 x 512 x 300, with a network that sees it once, whose state is half as fine."""
    usual = Work(
        pixels=VOLUME, seen=VOLUME, state=VOLUME // 8, channels=1, classes=2, members=4, at_once=1, once=True,
        flat=False, read=2 * VOLUME, voxels=VOLUME, shares=True,
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def photograph(**changes: object) -> Work:
    usual = Work(
        pixels=PICTURE, seen=PICTURE, state=PICTURE // 16, channels=3, classes=2, members=4, at_once=1, once=True,
        flat=True,
    )  # fmt: skip
    return replace(usual, **changes)  # type: ignore[arg-type]


def test_a_ct_and_a_large_photograph_fit_into_ordinary_machines() -> None:
    assert 3e9 < scan().needed < 5.5e9 and 2e9 < photograph().needed < 3.5e9


def test_more_of_anything_takes_more_memory() -> None:
    for work in (scan(), photograph()):
        assert replace(work, members=16).needed >= work.needed + 12 * 2 * 2 * work.seen
        assert replace(work, classes=5).needed > work.needed + 3 * 4 * 2 * work.seen
        assert replace(work, seen=work.seen // 4, state=work.state // 4).needed < work.needed
        assert replace(work, at_once=2).needed > work.needed
        fine = replace(work, state=work.seen)
        assert replace(fine, factors=16).needed > replace(fine, factors=8).needed + 7 * 4 * work.seen
    assert scan(pixels=VOLUME, seen=VOLUME // 2).needed > scan(pixels=VOLUME // 2, seen=VOLUME // 2).needed
    assert photograph(once=False, state=PICTURE).needed > photograph().needed
    assert photograph(voxels=VOLUME, read=2 * VOLUME).needed > photograph().needed + 10 * VOLUME
