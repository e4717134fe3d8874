"""What lies below a folder: links, loops, pipes, hidden folders; nothing is passed over without a word."""

import os
from pathlib import Path

import pytest
from tests.faults.bad import PIXELS

from sfumato.data.facts import case_facts
from sfumato.data.formats.image import write_image
from sfumato.data.source import find_cases
from sfumato.data.source.listing import files_below, members_below
from sfumato.errors import DataError


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, PIXELS)
    return folder


def where(folder: Path) -> list[str]:
    return [entry.where for entry in files_below(folder).entries]


def test_a_class_folder_that_is_a_link_is_read_and_told(tmp_path: Path) -> None:
    source = images(tmp_path / "src", "benign/1.png", "benign/2.png")
    images(tmp_path / "store", "m/3.png", "m/4.png")
    (source / "malignant").symlink_to(tmp_path / "store/m")
    (source / "benign/5.png").symlink_to(tmp_path / "store/m/3.png")
    (source / "benign/6.png").symlink_to("1.png")
    found = find_cases(source)
    assert {case.id: case.label for case in found.cases} == {
        **dict.fromkeys("1256", "benign"),
        **dict.fromkeys("34", "malignant"),
    }
    assert "links that lead out of the folder, followed: 2 (benign/5.png, malignant)" in found.notes
    assert not any(case_facts(case).problems for case in found.cases)


def test_loops_end_and_a_folder_is_read_once_by_its_own_name(tmp_path: Path) -> None:
    images(tmp_path, "z/1.png", "z/deep/2.png")
    (tmp_path / "a").symlink_to("z")
    (tmp_path / "z/deep/up").symlink_to(tmp_path)
    (tmp_path / "z/self").symlink_to(".")
    assert where(tmp_path) == ["z/1.png", "z/deep/2.png"]
    (note,) = files_below(tmp_path).notes
    assert note == "folders that links lead to again, read once: 3 (a is z, z/deep/up is ., z/self is z)"


def test_links_to_links_and_into_loops_end(tmp_path: Path) -> None:
    images(tmp_path / "store", "x/1.png")
    (tmp_path / "store/x/back").symlink_to(tmp_path / "store")
    source = images(tmp_path / "src", "0.png")
    (tmp_path / "hop").symlink_to(tmp_path / "store")
    (source / "a").symlink_to(tmp_path / "hop")
    assert where(source) == ["0.png", "a/x/1.png"]


def test_links_that_may_be_folders_and_lead_nowhere_are_all_refused(tmp_path: Path) -> None:
    images(tmp_path, "benign/1.png")
    (tmp_path / "malignant").symlink_to("/not/mounted")
    (tmp_path / "other").symlink_to("other")
    with pytest.raises(DataError, match=r"2 links lead to what is not there:\n.*malignant\n.*other") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "DATA-001"


def test_a_broken_link_to_an_image_is_told_with_all_other_files(tmp_path: Path) -> None:
    images(tmp_path, "1.png")
    (tmp_path / "2.png").symlink_to("/not/mounted/2.png")
    (problem,) = case_facts(find_cases(tmp_path).cases[1]).problems
    assert problem.code == "DATA-001" and "2.png cannot be read: it is a link to what is not there" in problem.finding


def test_folders_that_cannot_be_read_are_all_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images(tmp_path, "a/1.png", "b/2.png", "c/3.png")
    scandir = os.scandir

    def locked(path: Path) -> object:
        if path.name in "bc":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(DataError, match=r"2 folders cannot be read:\n.*b: Permission denied\n.*c: Perm") as caught:
        files_below(tmp_path)
    assert caught.value.code == "DATA-001"


@pytest.mark.parametrize("name", ["2.png", "2.nii.gz", "2.dcm", "2.npz", "2.npy", "2.mha", "2.nrrd", "2.tif", "2"])
def test_pipes_are_never_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(images(tmp_path, "1.png", "3.png") / name)
    try:
        found = find_cases(tmp_path)
    except DataError as error:
        assert "it is a named pipe, not a file" in str(error)
        return
    told = [problem.finding for case in found.cases for problem in case_facts(case).problems]
    told += [note for note in found.notes if note.startswith("files that are no images, not used")]
    assert told and name in told[0]


@pytest.mark.parametrize("name", ["labels.csv", "dataset.json", "t10k-images-idx3-ubyte", "manifest.csv", "x.zip"])
def test_pipes_that_could_tell_of_images_are_never_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(images(tmp_path, "1.png", "3.png") / name)
    try:
        found = find_cases(tmp_path)
    except DataError as error:
        assert "a named pipe" in str(error)
        return
    assert len(found.cases) == 2 and any(name in note for note in found.notes)


def test_a_pipe_or_device_as_the_source_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scans.zip")
    images(tmp_path / "src", "1.png")
    for given in ({"source": tmp_path / "scans.zip"}, {"source": Path("/dev/zero")}):
        with pytest.raises(DataError, match=r"is a (named pipe|device)"):
            find_cases(**given)
    with pytest.raises(DataError, match="is a named pipe"):
        find_cases(tmp_path / "src", masks=tmp_path / "scans.zip")


def test_images_in_hidden_folders_are_counted(tmp_path: Path) -> None:
    source = images(tmp_path, "1.png", ".old/2.png", ".old/deep/3.png", ".4.png", "._1.png", ".git/annex/5.png")
    (source / ".old/notes.txt").write_text("x")
    listing = files_below(source)
    assert listing.hidden == 4 and [entry.where for entry in listing.entries] == ["1.png"]
    (note,) = listing.notes
    assert note.startswith("of what is hidden, not used, named like images: 3 (.4.png, .old/.../2.png, .old/.../3.png)")
    packed = members_below("a.zip", ["1.png", ".old/2.png", "__MACOSX/._1.png", "._1.png"])
    assert packed.hidden == 3 and packed.notes[0].startswith("of what is hidden, not used, named like images: 1 (.old/")


def test_masks_that_links_lead_to_are_no_images(tmp_path: Path) -> None:
    source = images(tmp_path / "src", "images/a.png", "images/b.png")
    images(tmp_path / "drawn", "a.png", "b.png", ".c.png")
    (source / "outlines").symlink_to(tmp_path / "drawn")
    found = find_cases(source, masks=tmp_path / "drawn")
    assert [len(case.masks) for case in found.cases] == [1, 1]
    assert any(note.startswith("masks: of what is hidden") for note in found.notes)


def test_files_that_are_not_used_are_told_with_one_of_each_kind(tmp_path: Path) -> None:
    """Many of one kind hide no table, list or note among them."""
    images(tmp_path, "1.png", "2.png")
    for name in (*(f"a{number}.cfg" for number in range(9)), "README", "z.xlsx", "notes.txt", "more.txt"):
        (tmp_path / name).touch()
    found = find_cases(tmp_path)
    assert "files that are no images, not used: 13 (more.txt, z.xlsx, README, a0.cfg, notes.txt ...)" in found.notes
