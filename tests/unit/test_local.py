"""Names for paths in what may be passed on: relative where sfumato wrote it, else hidden, and found again here."""

import json
import os
import stat
from pathlib import Path

import pytest

from sfumato.local import (
    LOCAL_FILE,
    MARK,
    Names,
    final_path,
    found,
    led_by_others,
    portable,
    recalled,
    seen_from,
    token,
    without_paths,
)


def ours(folder: Path) -> Path:
    """A folder that sfumato wrote."""
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps({"versions": {"sfumato": "0"}}))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return ours(tmp_path / "project" / "run")


def test_below_the_folder_a_path_is_relative(out: Path) -> None:
    names = Names(out)
    assert names(out / "a" / "b.png") == "a/b.png" and names(out) == "." and names(out / "x" / ".." / "y") == "y"
    names.keep()
    assert not (out / LOCAL_FILE).exists(), "there is nothing to hide"


def test_beside_it_what_sfumato_wrote_is_relative_and_nothing_else(out: Path) -> None:
    ours(out.parent / "dataset"), (out.parent / "ANNA").mkdir(), ours(out.parent / "ANNA" / "samples")
    names = Names(out)
    assert (
        names(out.parent / "dataset") == "../dataset" and names(out.parent / "dataset" / "a.npy") == "../dataset/a.npy"
    )
    for place in ("ANNA", "ANNA/scan.png", "ANNA/samples", ".", ".."):
        assert names(out.parent / place).startswith(MARK)
    names.keep()
    assert "ANNA" in (out / LOCAL_FILE).read_text() and stat.S_IMODE((out / LOCAL_FILE).stat().st_mode) == 0o600


def test_a_hidden_path_is_the_same_everywhere_and_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ANNA" / "a.png"
    assert Names(tmp_path / "x")(path) == Names(tmp_path / "y" / "z")(path) == token(path) != token(path.parent)
    assert "ANNA" not in token(path) and ".png" not in token(path)


def test_what_was_hidden_is_found_again(out: Path, tmp_path: Path) -> None:
    scan, dataset = tmp_path / "ANNA" / "scan.png", ours(out.parent / "dataset")
    scan.parent.mkdir()
    names = Names(out)
    hidden, beside = names(scan), names(dataset)
    assert found(hidden, out) is None and recalled(hidden, out) is None
    names.keep()
    assert found(hidden, out) == recalled(hidden, out) == scan and found(beside, out) == dataset
    assert found("a/b.png", out) == out / "a/b.png" and recalled("a/b.png", out) is None
    assert found(MARK + "0" * 16, out) is None


def test_records_of_others_are_said_to_lead_somewhere(out: Path, tmp_path: Path) -> None:
    scan = tmp_path / "ANNA" / "scan.png"
    scan.parent.mkdir()
    names = Names(out)
    hidden = names(scan)
    names.keep()
    assert found(hidden, out) == scan and led_by_others() == []
    for maker in ("0" * 16, None):
        record = json.loads((out / LOCAL_FILE).read_text()) | {"maker": maker}
        (out / LOCAL_FILE).write_text(json.dumps(record))
        assert found(hidden, out) == scan
        assert led_by_others() == [f"{out / LOCAL_FILE} was not written by you on this machine; it led to {scan}"]
        assert led_by_others() == []


def test_what_moves_together_stays_together(out: Path, tmp_path: Path) -> None:
    (tmp_path / "project" / "scans").mkdir()
    (tmp_path / "project" / "scans" / "a.png").touch()
    (tmp_path / "elsewhere").mkdir()
    dataset, names = ours(out.parent / "dataset"), Names(out)
    inside, outside, beside = (
        names(tmp_path / "project" / "scans" / "a.png"),
        names(tmp_path / "elsewhere"),
        names(dataset),
    )
    names.keep()
    moved = tmp_path / "archive" / "2031"
    moved.parent.mkdir()
    out.parent.rename(moved)
    assert found(inside, moved / "run") == moved / "scans" / "a.png"
    assert found(outside, moved / "run") == tmp_path / "elsewhere", "which stayed where it was"
    assert found(beside, moved / "run") == moved / "dataset"
    (moved / "run").rename(tmp_path / "run")
    assert found(beside, tmp_path / "run") == dataset, "as it was: nothing is where it should be"
    (tmp_path / "run" / LOCAL_FILE).unlink()
    assert found(beside, tmp_path / "run") == tmp_path / "run" / ".." / "dataset"


def test_a_folder_in_the_making_counts_as_what_it_will_be(tmp_path: Path) -> None:
    ours(tmp_path / "dataset")
    for stage in (".out.staging-12ab", ".out.unfinished-0f"):
        staging = tmp_path / stage / "files"
        (staging / "twin").mkdir(parents=True)
        assert final_path(staging / "twin") == tmp_path / "out" / "twin"
        assert Names(staging)(tmp_path / "dataset") == "../dataset"
        assert Names(staging / "twin")(tmp_path / "dataset") == "../../dataset"
        assert Names(staging)(staging / "a.png") == Names(staging)(tmp_path / "out" / "a.png") == "a.png"


def test_a_second_table_adds_to_what_is_known(out: Path, tmp_path: Path) -> None:
    for place in ("one", "two"):
        names = Names(out)
        names(tmp_path / place)
        names.keep(command=place)
    known = json.loads((out / LOCAL_FILE).read_text())
    assert set(known["paths"].values()) == {str(tmp_path / "one"), str(tmp_path / "two")}
    assert known["command"] == "two" and known["place"] == str(out)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"place": 3}',
        '{"place": "/x", "paths": {"local:1": 2}}',
        '{"place": "/x", "paths": {"../x": ""}}',
        '{"place": "", "paths": {"../x": "/a"}}',
        '{"place": "/x", "paths": {"../x": "../y"}}',
        '{"place": "/x", "paths": {"../x": "/a\\u0000b"}}',
    ],
)
def test_a_damaged_file_knows_nothing(out: Path, text: str) -> None:
    (out / LOCAL_FILE).write_text(text)
    assert found("local:1", out) is None and found("../x", out) == out / "../x"


def test_a_command_keeps_its_words_and_loses_its_paths(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours(out.parent / "dataset")
    (tmp_path / "ANNA").mkdir()
    (tmp_path / "segment").mkdir()
    monkeypatch.chdir(tmp_path)
    given = [
        "train", "segment", "project/dataset", "--masks", "ANNA", "--out=ANNA/run", "--set", "train.batch=8", "--set",
        f"data.source.table={tmp_path}/ANNA/t.csv", "--split", "0.7/0.15/0.15", "--shard", "0/4", "--size", "16x24",
        "--class", "benign", "--features", "pixels,own", "--window", "-1000,400", "--out", "../ANNA/x",
    ]  # fmt: skip
    told = portable(given, Names(out))
    assert "ANNA" not in told and str(tmp_path) not in told
    kept = (
        "--split 0.7/0.15/0.15 --shard 0/4 --size 16x24 --class benign --features pixels,own --window -1000,400 --out ."
    )
    assert told.startswith("sfumato train segment ../dataset --masks local:") and told.endswith(kept)
    assert "--out=. --set train.batch=8 --set data.source.table=local:" in told
    assert portable(["segment", "segment", "--out", "x"], Names(out)).startswith("sfumato segment local:")
    assert portable(["evaluate", "images", "inception:ANNA"], Names(out)).startswith(
        "sfumato evaluate images inception:l"
    )
    assert portable([], Names(out)) == "sfumato"


def test_plain_data_without_paths(out: Path, tmp_path: Path) -> None:
    """The plane of a volume stays; of a file that is gone, nobody knows where its name ended."""
    names, volume, gone = Names(out), tmp_path / "ANNA" / "v.nii", "/data/ANNA/v.nii::axial/3"
    volume.parent.mkdir()
    volume.touch()
    told = without_paths({"a": [str(out / "b.png"), f"{volume}::axial/3", gone], "n": 3, "t": "a/b", "p": out}, names)
    assert told["a"] == ["b.png", f"{token(volume)}::axial/3", token(Path(gone))]
    assert (told["n"], told["t"], told["p"]) == (3, "a/b", ".")


def test_sentences_are_told_as_seen_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "ANNA" / "deep").mkdir(parents=True)
    (tmp_path / "ANNA" / "table.csv").write_text("")
    short = seen_from(tmp_path / "ANNA" / "deep", tmp_path / "ANNA" / "table.csv")
    assert short(f"{tmp_path}/ANNA/deep/a.png and {tmp_path}/ANNA/b.png differ") == "a.png and b.png differ"
    assert seen_from(tmp_path)(os.fspath(tmp_path / "x")) == "x"
