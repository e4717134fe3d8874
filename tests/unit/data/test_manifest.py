from pathlib import Path

import pytest

from sfumato.data.formats.joined import Part, joined
from sfumato.data.manifest import Case, read_manifest, write_manifest
from sfumato.errors import DataError


def cases(count: int, **facts: object) -> list[Case]:
    return [Case(id=f"c{row}", image=f"/data/{row}.png", **facts) for row in range(count)]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = [
        Case(
            id="a",
            image=str(tmp_path / "images/a, b.png"),
            masks=(str(tmp_path / "m/0.png"), str(tmp_path / "m/1.png")),
        ),
        Case(id="b", image=str(tmp_path / "x.npz::images/3"), label="grade 1", patient="p", split="test", source="ü"),
    ]
    write_manifest(tmp_path / "manifest.csv", written, extra={"height": [1, 2]})
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "id,image,mask_0,mask_1,label,patient,volume,split,origin,source,height"
    assert str(tmp_path) not in text
    assert read_manifest(tmp_path / "manifest.csv") == written


def test_tables_may_not_name_files_outside_their_folder(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("id,image\na,../../etc/passwd\n")
    with pytest.raises(DataError, match=r"outside the folder") as caught:
        read_manifest(tmp_path / "manifest.csv")
    assert caught.value.code == "DATA-017"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("name,file\na,b\n", "no column id or image; the columns are: name, file"),
        ("id,image\na,x.png\na,y.png\n", "more than once"),
        ("id,image,split\na,x.png,dev\n", "the split 'dev'"),
        ("id,image\na\n", "row 2: 1 fields"),
        ("", "no rows"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, finding: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match=finding):
        read_manifest(tmp_path / "manifest.csv")


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("\ufeffid,image\r\na,x.png\r\n", encoding="utf-8")
    assert read_manifest(tmp_path / "manifest.csv")[0].id == "a"


def test_masks_of_several_files_keep_their_parts_and_their_places(tmp_path: Path) -> None:
    mask = joined([Part("1", f"{tmp_path}/liver.nii.gz::axial/2"), Part("within", f"{tmp_path}/view.png")])
    write_manifest(tmp_path / "manifest.csv", [Case(id="a", image=f"{tmp_path}/a.png", masks=(mask,))])
    assert "//1=liver.nii.gz::axial/2//within=view.png" in (tmp_path / "manifest.csv").read_text()
    assert read_manifest(tmp_path / "manifest.csv")[0].masks == (mask,)
    outside = (tmp_path / "manifest.csv").read_text().replace("view.png", "../view.png")
    (tmp_path / "manifest.csv").write_text(outside)
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path / "manifest.csv")
    assert caught.value.code == "DATA-017"
