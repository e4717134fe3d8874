"""Ids and names of classes become names of files: none of them leads out of the folder that is written to."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.intensity import Intensity
from sfumato.data.manifest import Case, file_names, is_safe_id, read_manifest
from sfumato.data.placement import Canvas
from sfumato.data.source import ReadOptions, find_cases
from sfumato.data.spec import Spec
from sfumato.data.units import units
from sfumato.errors import DataError
from sfumato.experiment.inference import Ensemble, SampleRequest
from sfumato.outputs.predictions import Writer, Writing
from sfumato.outputs.samples import _safe_names

from .bad import PIXELS, png
from .sound import npz, zipped

UNSAFE = ("../a", "/tmp/a", "a/../../b", "..", "", "a\\..\\b", "a\nb", "a" * 300, "é" * 150, "a//b", "a\udce9")


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_id_is_refused(name: str, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", PIXELS)
    with pytest.raises(DataError, match="cannot be names of files") as caught:
        find_cases([Case(id=name, image=str(tmp_path / "a.png"))])
    assert caught.value.code == "DATA-016"
    with pytest.raises(DataError, match="cannot be names of files"):
        find_cases([Case(id="a", image=str(tmp_path / "a.png"), volume=name)])


def test_the_row_of_an_unsafe_id_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", PIXELS)
    names = ("good", "../../evil", "benign/000017", "x" * 201)
    (tmp_path / "manifest.csv").write_text("\n".join(["id,image", *(f"{name},a.png" for name in names)]))
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path / "manifest.csv")
    told = str(caught.value)
    assert "2 ids" in told and "row 3: '../../evil'" in told and "row 5" in told and "row 4" not in told
    rows = ["id,image,volume", *(f"{row},a.png,{name}" for row, name in enumerate(names))]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match=r"2 ids(?s:.*)volume: '../../evil'"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_path_with_a_zero_byte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_bytes(b"id,image\na,a\0.png\n")
    with pytest.raises(DataError, match="is no path"):
        read_manifest(tmp_path / "manifest.csv")


def test_names_that_an_archive_gives_its_files_are_taken_only_where_they_are_safe(tmp_path: Path) -> None:
    bundle = {"labels": None, "file_names": {"a.png": "x/../..", "b.png": "y\0"}}
    content = {"a.png": png(), "b.png": png(np.flipud(PIXELS)), "dataset.json": json.dumps(bundle).encode()}
    (tmp_path / "a.zip").write_bytes(zipped(content))
    assert [case.id for case in find_cases(tmp_path / "a.zip").cases] == ["a", "b"]
    (tmp_path / "a.npz").write_bytes(npz(images=np.stack([PIXELS] * 2), ids=np.array(["a" * 300, "b"])))
    assert [case.id for case in find_cases(tmp_path / "a.npz").cases] == ["0", "1"]


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"a.png": png(), "QQQ": b""}).replace(b"QQQ", b"\0QQ"))
    with pytest.raises(DataError, match="has no name") as caught:
        find_cases(tmp_path / "a.zip")
    assert caught.value.code == "DATA-055"


def test_files_whose_names_are_no_utf_8_are_refused(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(png())
    with pytest.raises(DataError, match="cannot be names of files"):
        find_cases(tmp_path)


def test_classes_and_folders_whose_names_are_no_utf_8_are_refused(tmp_path: Path) -> None:
    for place in (b"src/caf\xe9", b"caf\xe9"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + place))
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(png())
    for source in (tmp_path / "src", folder):
        with pytest.raises(DataError, match=r"not UTF-8:\n    .*caf\\udce9") as caught:
            find_cases(source, hints=ReadOptions(class_level=1 if source == tmp_path / "src" else 0))
        assert caught.value.code == "DATA-016"


def test_names_of_classes_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    """A segmentation whose classes are called like paths, written with everything there is to write."""
    size = (PIXELS.shape[0], PIXELS.shape[1])
    write_image(tmp_path / "a.png", PIXELS)
    spec = Spec(size=size, channels=1, dtype="uint8", intensity=Intensity("unit", 0, 255, ""),
                mask_classes=("background", "../../../evil", "/evil"))  # fmt: skip
    members = np.full((2, 3, *size), 1 / 3, np.float32)
    wanted = units(find_cases(tmp_path).cases, "same")
    drawn = Ensemble(case=wanted[0].cases[0], picture=PIXELS[..., None], placement=Canvas(size).place(size),
                     members=members)  # fmt: skip
    out = tmp_path / "deep" / "deeper" / "out"
    out.mkdir(parents=True)
    save = frozenset({"probability", "uncertainty", "overlay", "members"})
    list(Writer(folder=out, spec=spec, writing=Writing(save=save)).write(wanted, iter([drawn])))
    written = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file() and "evil" in path.name]
    assert {path.parent for path in written} == {Path("deep/deeper/out/probability")} and len(written) == 2
    assert not Path("/evil.png").exists()


def test_names_of_files_are_short_and_safe() -> None:
    names = ["../../evil", "/evil", "é" * 300, "é" * 299, "..", ""]
    assert all(is_safe_id(name) for name in file_names(names)) and len(set(file_names(names))) == len(names)
    made = _safe_names([SampleRequest(0, "../../evil", 0), SampleRequest(1, None, 1)])
    assert made == {"../../evil": "_.._evil", "unconditional": "unconditional"}
