from pathlib import Path
from shutil import copyfile, copytree

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import find_cases


def build(home: Path) -> Path:
    for person in ("p1", "p2"):
        (home / person).mkdir(parents=True)
        for n in range(2):
            mask = np.zeros((16, 16), np.uint8)
            mask[2 : 5 + n, 3:9] = 255
            write_image(home / person / f"{n}.png", np.random.default_rng([n, int(person[1])]).integers(
                20, 230, (16, 16)).astype(np.uint8))  # fmt: skip
            write_image(home / person / f"{n}_mask.png", mask)
    return home


@pytest.mark.parametrize("outer", ["archive", "archive/unpacked"])
def test_a_folder_that_lies_in_another_once_more_is_read_once(tmp_path: Path, outer: str) -> None:
    copytree(build(tmp_path / "kaggle"), tmp_path / outer / "kaggle")
    found = find_cases(tmp_path)
    assert [Path(case.image).relative_to(tmp_path).parts[0] for case in found.cases] == ["kaggle"] * 4
    assert f"{outer}/kaggle is kaggle once more, file by file, not used: 8 files" in found.notes
    assert {case.label for case in found.cases} <= {None, "p1", "p2"}, "no class is called after a copy"


@pytest.mark.parametrize("change", ["pixel", "name", "more"])
def test_a_folder_that_differs_is_read(tmp_path: Path, change: str) -> None:
    other = tmp_path / "archive" / "kaggle"
    copytree(build(tmp_path / "kaggle"), other)
    if change == "pixel":
        content = (other / "p1" / "0.png").read_bytes()
        (other / "p1" / "0.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif change == "name":
        (other / "p1").rename(other / "p3")
    else:
        for end in ("", "_mask"):
            copyfile(other / "p1" / f"0{end}.png", other / "p1" / f"7{end}.png")
    found = find_cases(tmp_path)
    assert len(found.cases) == 6 + (change == "more")
    assert [note for note in found.notes if "once more" in note] == [
        "archive/kaggle/p2 is kaggle/p2 once more, file by file, not used: 4 files"
    ]


def test_folders_beside_one_another_are_no_twins(tmp_path: Path) -> None:
    copytree(build(tmp_path / "reader1"), tmp_path / "reader2")
    assert not any("once more" in note for note in find_cases(tmp_path).notes)
