from pathlib import Path

import pytest

from sfumato.data.manifest import Case
from sfumato.data.units import units, whole_volumes
from sfumato.errors import DataError


def planes(*images: str) -> list[Case]:
    return [Case(id=f"v_{number}", image=image, volume="v") for number, image in enumerate(images)]


def test_planes_of_a_volume_file_get_one_mask() -> None:
    (unit,) = units(planes("/x/scan.nii.gz::axial/0", "/x/scan.nii.gz::axial/1"), "same")
    assert unit.id == "v" and len(unit.cases) == 2
    (unit,) = units(planes("local:1234::axial/0", "local:1234::axial/1"), "same")  # wherever the file lies
    assert unit.id == "v"
    assert [unit.id for unit in units(planes("/x/scan.nii.gz::axial/0", "/x/scan.nii.gz::axial/1"), "png")] == [
        "v_0",
        "v_1",
    ]


def test_planes_of_arrays_and_tiff_get_a_mask_each() -> None:
    """There is no volume file to write one like: a single mask would be that of the first plane."""
    for images in (("/x/a.npz::volumes/0/0", "/x/a.npz::volumes/0/1"), ("/x/a.tif::page/0", "/x/a.tif::page/1")):
        for form in ("same", "nii"):
            assert [unit.id for unit in units(planes(*images), form)] == ["v_0", "v_1"]  # type: ignore[arg-type]


def test_whole_volumes_say_where_their_voxels_lie() -> None:
    scans = [Case(id=f"a_{k}", image=f"a.nii.gz::axial/{k}", volume="a") for k in range(3)]
    (unit,) = whole_volumes(scans)
    assert (unit.id, unit.cases, unit.volume) == ("a", tuple(scans), Path("a.nii.gz"))
    stack = [Case(id=f"b_{k}", image=f"b.tif::{k}", volume="b") for k in range(3)]
    with pytest.raises(DataError, match=r"b\.tif::0 does not say where its voxels lie"):
        whole_volumes([*scans, *stack])
