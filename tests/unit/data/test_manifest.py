import json
from pathlib import Path

import pytest

from sfumato.data.formats.joined import MaskPart, joined_name
from sfumato.data.manifest import Case, identity, located, read_manifest, write_manifest
from sfumato.errors import DataError
from sfumato.local import LOCAL_FILE, MARK


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


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder that says that it is a prepared data set, with a link in it, beside a picture of somebody else."""
    (tmp_path / "secret.png").touch()
    (tmp_path / "dataset").mkdir()
    for name in ("dataset.json", "images.npy", "manifest.csv"):
        (tmp_path / "dataset" / name).touch()
    (tmp_path / "dataset" / "link.png").symlink_to(tmp_path / "secret.png")
    return tmp_path / "dataset"


@pytest.mark.parametrize(
    "name", ["{}/secret.png", "../secret.png", "a/../../secret.png", "link.png", "{}/s.nii::axial/0"]
)
def test_a_prepared_dataset_of_a_stranger_names_no_file_of_this_machine(prepared: Path, name: str) -> None:
    name = name.format(prepared.parent)
    (prepared / "manifest.csv").write_text(f"id,image,mask\na,{name},{name}\n")
    (case,) = read_manifest(prepared / "manifest.csv")
    assert case.image.startswith(MARK) and case.masks == (case.image,), "told as a file that nobody knows here"
    assert located(name, prepared) is None
    assert identity(case.image) == case.image


@pytest.mark.parametrize("name", ["../secret.png", "{}/secret.png"])
def test_what_this_machine_remembers_is_found(prepared: Path, name: str) -> None:
    secret, name = prepared.parent / "secret.png", name.format(prepared.parent)
    (prepared / LOCAL_FILE).write_text(json.dumps({"place": str(prepared), "paths": {name: str(secret)}}))
    assert located(name, prepared) == str(secret)
    (prepared / "manifest.csv").write_text(f"id,image\na,{name}\n")
    assert read_manifest(prepared / "manifest.csv")[0].image == str(secret)


def test_a_folder_beside_it_that_sfumato_wrote_is_found(prepared: Path) -> None:
    toy = prepared.parent / "toy"
    toy.mkdir()
    assert located("../toy/a.png", prepared) is None
    (toy / "provenance.json").write_text(json.dumps({"versions": {"sfumato": "0"}}))
    assert Path(located("../toy/a.png", prepared) or "").resolve() == toy / "a.png"


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
    mask = joined_name([MaskPart("1", f"{tmp_path}/liver.nii.gz::axial/2"), MaskPart("within", f"{tmp_path}/view.png")])
    write_manifest(tmp_path / "manifest.csv", [Case(id="a", image=f"{tmp_path}/a.png", masks=(mask,))])
    assert "//1=liver.nii.gz::axial/2//within=view.png" in (tmp_path / "manifest.csv").read_text()
    assert read_manifest(tmp_path / "manifest.csv")[0].masks == (mask,)
    outside = (tmp_path / "manifest.csv").read_text().replace("view.png", "../view.png")
    (tmp_path / "manifest.csv").write_text(outside)
    with pytest.raises(DataError) as caught:
        read_manifest(tmp_path / "manifest.csv")
    assert caught.value.code == "DATA-017"
