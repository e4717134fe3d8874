"""Tables, archives and folders that contradict themselves, lead astray, or hold nothing."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .bad import OBJECT, PIXELS, Bad, file, flipped, png, within


def table(text: str, *, name: str = "labels.csv", encoding: str = "utf-8") -> Callable[[Path], Path]:
    """Four images, and a table about them; the source is their folder, or a table that is no manifest itself."""

    def make(folder: Path) -> Path:
        for number in range(4):
            (folder / f"{number}.png").write_bytes(png(np.roll(PIXELS, number)))
        (folder / name).write_text(text, encoding=encoding)
        return folder if name == "manifest.csv" else folder / name

    return make


TABLES = (
    Bad("manifest without images", table("id,picture\na,0.png\n", name="manifest.csv"), "DATA-016", ("manifest.csv",)),
    Bad(
        "manifest that leads out",
        table("id,image\na,../../../etc/passwd\n", name="manifest.csv"),
        "DATA-017",
        ("manifest.csv", "passwd"),
    ),
    Bad(
        "manifest with an absolute path",
        table("id,image\na,/etc/passwd\n", name="manifest.csv"),
        "DATA-017",
        ("passwd",),
    ),
    Bad(
        "manifest with an id twice",
        table("id,image\na,0.png\na,1.png\n", name="manifest.csv"),
        "DATA-016",
        ("manifest.csv", "more than once"),
    ),
    Bad(
        "manifest with an unknown split",
        table("id,image,split\na,0.png,tarin\n", name="manifest.csv"),
        "DATA-016",
        ("manifest.csv", "tarin"),
    ),
    Bad(
        "manifest with a short row",
        table("id,image,label\na,0.png\n", name="manifest.csv"),
        "DATA-016",
        ("manifest.csv", "row 2"),
    ),
    Bad(
        "manifest with a missing file",
        table("id,image\na,gone.png\n", name="manifest.csv"),
        "DATA-001",
        ("gone.png",),
    ),
    Bad("table with a missing file", table("image,label\n0,a\n1,b\n7,a\n"), "DATA-051", ("labels.csv", "row 4: 7")),
    Bad(
        "table that leads to nothing",
        table("image,label\n0.png,a\n../../x.png,b\n"),
        "DATA-051",
        ("labels.csv", "../../x.png"),
    ),
    Bad("table without a class", table("image,label\n0,a\n1,\n2,b\n3,b\n"), "DATA-052", ("labels.csv", "row 3")),
    Bad("one image in two classes", table("image,label\n0,a\n1,b\n0,b\n2,a\n3,a\n"), "DATA-053", ("labels.csv", "0")),
    Bad("table with uneven rows", table("image,label\n0,a\n1,b,c\n"), "DATA-016", ("labels.csv", "row 3")),
    Bad(
        "another name of the column",
        table("image,label\n0,a\n1,b\n"),
        "DATA-050",
        ("labels.csv", "lable", "did you mean 'label'"),
        ("--label-column", "lable"),
    ),
    Bad("table in UTF-16 without mark", table("image,label\n0,a\n", encoding="utf-16-le"), "DATA-016", ("labels.csv",)),
)


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


def encrypted(content: bytes) -> bytes:
    """The archive with the mark of encryption on its first member."""
    made = bytearray(content)
    made[6] |= 1
    made[made.index(b"PK\1\2") + 8] |= 1
    return bytes(made)


def bundle(about: object) -> bytes:
    return zipped(("00000/a.png", png()), ("00000/b.png", png(OBJECT)), ("dataset.json", json.dumps(about).encode()))


A, B = "00000/a.png", "00000/b.png"
GOOD = zipped(("cat/a.png", png()), ("dog/b.png", png(OBJECT)))

ARCHIVES = (
    Bad("ZIP that leads out", file("a.zip", zipped(("../../a.png", png()))), "DATA-055", ("a.zip", "../../a.png")),
    Bad("ZIP with an absolute name", file("a.zip", zipped(("/etc/a.png", png()))), "DATA-055", ("a.zip", "/etc/a.png")),
    Bad("ZIP with a drive", file("a.zip", zipped(("C:/a.png", png()))), "DATA-055", ("a.zip", "C:/a.png")),
    Bad("ZIP with a link", file("a.zip", zipped((link("a.png"), b"/etc/passwd"))), "DATA-055", ("a.zip", "a.png")),
    Bad("ZIP in a ZIP", file("a.zip", zipped(("b.zip", GOOD), ("a.png", png()))), "DATA-055", ("a.zip", "b.zip")),
    Bad(
        "ZIP with names alike", file("a.zip", zipped(("a.png", png()), ("A.png", png()))), "DATA-055", ("a.zip", "once")
    ),
    Bad("encrypted ZIP", file("a.zip", encrypted(GOOD)), "DATA-055", ("a.zip", "encrypted")),
    Bad(
        "ZIP bomb",
        file("a.zip", zipped(("a.png", bytes(80 * 2**20)), method=zipfile.ZIP_DEFLATED)),
        "DATA-056",
        ("a.zip", "too large"),
    ),
    Bad("ZIP cut short", file("a.zip", GOOD[:-40]), "DATA-057", ("a.zip",)),
    Bad("ZIP with a flipped byte", file("a.zip", flipped(GOOD, 0.2)), "DATA-057", ("a.zip", "a.png")),
    Bad("ZIP that is none", file("a.zip", b"Page not found"), "DATA-057", ("a.zip",)),
    Bad(
        "labels of other files",
        file("a.zip", bundle({"labels": [[A, 0], ["00000/c.png", 1]]})),
        "DATA-058",
        ("dataset.json", "00000/c.png", B),
    ),
    Bad("a label twice", file("a.zip", bundle({"labels": [[A, 0], [B, 0], [A, 1]]})), "DATA-058", ("a.zip", "again")),
    Bad("labels that are no classes", file("a.zip", bundle({"labels": [[A, 0.5], [B, 1]]})), "DATA-059", ("a.zip", A)),
    Bad("a dataset.json of another kind", file("a.zip", bundle([1, 2])), "DATA-058", ("a.zip", "dataset.json")),
    Bad("ZIP without images", file("a.zip", zipped(("a.txt", b"x"))), "DATA-002", ("a.zip", "no images")),
)


def raw(*, about: object = None, splits: object = None, leave_out: str = "") -> Callable[[Path], Path]:
    """An nnU-Net raw data set of two cases."""
    sound = {"channel_names": {"0": "grey"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".png"}

    def make(folder: Path) -> Path:
        for part, suffix in (("imagesTr", "_0000"), ("labelsTr", "")):
            (folder / part).mkdir()
            for name in "ab":
                content = png() if part == "imagesTr" else png(OBJECT // 255)
                (folder / part / f"{name}{suffix}.png").write_bytes(content)
        (folder / "dataset.json").write_text(json.dumps(sound if about is None else {**sound, **about}))
        if splits is not None:
            (folder / "splits_final.json").write_text(json.dumps(splits))
        if leave_out:
            (folder / leave_out).unlink()
        return folder

    return make


NNUNET = (
    Bad("a value without a name", raw(about={"labels": {"background": 0}}), "DATA-014", ("labelsTr", "value 1")),
    Bad("labels that are words", raw(about={"labels": {"lesion": "one"}}), "DATA-065", ("dataset.json", "lesion")),
    Bad("a case without label", raw(leave_out="labelsTr/b.png"), "DATA-010", ("b", "no label")),
    Bad("a label without case", raw(leave_out="imagesTr/b_0000.png"), "DATA-010", ("b", "no image")),
    Bad("folds of other cases", raw(splits=[{"train": ["a"], "val": ["z"]}]), "DATA-066", ("splits_final.json", "z")),
    Bad("a case in both parts", raw(splits=[{"train": ["a"], "val": ["a", "b"]}]), "DATA-066", ("splits_final.json",)),
    Bad("folds of another form", raw(splits={"train": []}), "DATA-066", ("splits_final.json",)),
    Bad(
        "a fold that is not there",
        raw(splits=[{"train": ["a"], "val": ["b"]}]),
        "DATA-066",
        ("fold 3",),
        ("--fold", "3"),
    ),
)


def nothing(folder: Path) -> Path:
    return folder


FOLDERS = (
    Bad("nothing there", lambda folder: folder / "gone", "DATA-001", ("gone", "does not exist")),
    Bad("empty folder", nothing, "DATA-002", ("source", "no images")),
    Bad("hidden files only", within(".DS_Store", b"x"), "DATA-002", ("source", "no images")),
    Bad("documents only", within("notes.docx", b"x"), "DATA-002", ("source", "no images")),
    Bad("a document", file("notes.docx", b"x"), "DATA-002", ("notes.docx",)),
)

ROWS = (*TABLES, *ARCHIVES, *NNUNET, *FOLDERS)
