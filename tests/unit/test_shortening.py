"""Long lists are shown by their first five items; everything is in a file."""

import re
import stat
from pathlib import Path

import numpy as np
import pytest

from sfumato.cli import main
from sfumato.commands import info
from sfumato.data.formats.image import write_image
from sfumato.errors import DataError, UsageError, listed, raise_together
from sfumato.shortening import shortened


def names(count: int, word: str = "a") -> list[str]:
    return [f"{word}{number}.png" for number in range(count)]


@pytest.mark.parametrize(("count", "shown"), [(0, 0), (1, 1), (5, 5), (7, 7), (8, 5), (695, 5)])
def test_five_of_each(count: int, shown: int) -> None:
    lines = shortened(f"there are some:\n{listed(names(count))}\nafterwards").split("\n")
    assert [line.strip() for line in lines[1 : 1 + shown]] == names(count)[:shown]
    assert lines[1 + shown :] == ([f"    ... and {count - 5} more"] if count > 7 else [""] * (count == 0)) + [
        "afterwards"
    ]


def test_each_list_by_itself() -> None:
    text = f"  first:\n{listed(names(20))}\n  second:\n{listed(names(9, 'b'))}"
    lines = shortened(text).split("\n")
    assert len(lines) == 2 * 7
    assert lines[6] == "    ... and 15 more" and lines[13] == "    ... and 4 more"


def test_what_belongs_to_an_item_goes_with_it() -> None:
    nested = listed(names(30)).replace("\n", "\n    ")
    text = "\n".join(f"    volume {number}:\n    {nested}" for number in range(9))
    lines = shortened(text).split("\n")
    assert lines[0] == "    volume 0:" and lines[6] == "        ... and 25 more"
    assert lines[7] == "    volume 1:" and lines[-1] == "    ... and 4 more"
    assert len(lines) == 5 * 7 + 1


def test_texts_without_lists_stay() -> None:
    text = "a\n  b\n  c\n\n    d\n  e"
    assert shortened(text) == text


def test_a_line_that_nobody_reads_is_cut_and_stands_in_the_file() -> None:
    error = UsageError(f"no tensor {'x' * 1_000_000}", remedy="another model")
    assert len(str(error)) < 2200 and "characters more" in str(error) and str(error).endswith("another model")
    assert len(error.in_full()) > 1_000_000
    assert shortened("x" * 2000) == "x" * 2000


def problems() -> list[DataError]:
    damaged = [DataError(f"{name} is damaged", code="DATA-006", remedy="copy it") for name in names(12)]
    sizes = [DataError(f"{name} is too small", code="DATA-012") for name in names(3, "b")]
    return [*damaged, *sizes, *damaged[:2]]


def test_faults_of_several_kinds() -> None:
    with pytest.raises(DataError) as caught:
        raise_together(problems())
    told = str(caught.value).split("\n")
    assert told[:3] == [
        "error DATA-022: 15 files cannot be used:",
        "  DATA-006, 12 of them; fix: copy it",
        "    a0.png is damaged (2 cases)",
    ]
    assert told[7:12] == [
        "    ... and 7 more", "  DATA-012, 3 of them", *(f"    b{number}.png is too small" for number in range(3))
    ]  # fmt: skip
    assert all(f"a{number}.png is damaged" in caught.value.in_full() for number in range(12))


def test_faults_of_one_kind() -> None:
    with pytest.raises(DataError, match="2 cases") as caught:
        raise_together(problems()[:1] * 2)
    assert (caught.value.code, caught.value.remedy) == ("DATA-006", "copy it")
    with pytest.raises(DataError) as caught:
        raise_together(problems()[:12])
    assert (caught.value.code, caught.value.remedy) == ("DATA-006", "copy it")
    assert "DATA-006, " not in str(caught.value)


def told_by(error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(info.Run, "exists", fail)
    with pytest.raises(SystemExit):
        main(["info", "nothing"])
    return capsys.readouterr().err


def test_the_command_line_names_a_file_with_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = UsageError("too many:\n" + listed([*names(694), "a\x1b[2J.png"]), remedy="fewer")
    told = told_by(error, monkeypatch, capsys)
    assert len(told.splitlines()) == 9
    named = re.search(r"  all of it: (.*)\n$", told)
    assert named is not None
    file = Path(named[1])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    whole = file.read_text()
    assert all(name in whole for name in names(694)) and "\x1b" not in whole
    file.unlink()
    assert "all of it" not in told_by(UsageError("short"), monkeypatch, capsys)


def test_no_room_for_the_file_is_no_reason_to_say_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nothing"))
    told = told_by(UsageError(f"too many:\n{listed(names(20))}"), monkeypatch, capsys)
    assert "... and 15 more" in told and "all of it" not in told


def test_images_without_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for kind, count in (("images", 30), ("masks", 10)):
        (tmp_path / "source" / kind).mkdir(parents=True)
        for number in range(count):
            write_image(
                tmp_path / f"source/{kind}/{kind[0] if number > 2 else ''}{number}.png", np.zeros((8, 8), np.uint8)
            )
    with pytest.raises(SystemExit) as stop:
        main(["prepare", str(tmp_path / "source"), "--out", str(tmp_path / "set")])
    told = capsys.readouterr().err
    assert stop.value.code == 3
    assert "... and 22 more" in told and "... and 2 more" not in told and len(told.splitlines()) < 25
