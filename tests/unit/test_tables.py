"""Tables that are written and read again."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfumato.data.manifest import Case, read_manifest, write_manifest
from sfumato.errors import DataError
from sfumato.tables import read_columns, read_rows, table_line, write_records, write_table


@given(cells=st.lists(st.text(alphabet="'=+-@\t\r\n,; a1\"", max_size=5), min_size=1, max_size=3))
def test_every_row_comes_back(cells: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    names = [f"={place}" for place in range(len(cells))]
    write_table(path, names, [cells])
    assert read_columns(path) == names
    assert read_rows(path) == [dict(zip(names, cells, strict=True))]


def test_no_cell_is_a_formula_for_others_and_numbers_are_numbers(tmp_path: Path) -> None:
    write_records(
        tmp_path / "a.csv", [{"=id": "@a", "dice": -0.5, "note": None}, {"=id": "b", "dice": 1, "note": "=x"}]
    )
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["'=id", "dice", "note"], ["'@a", "-0.5", ""], ["b", "1", "'=x"]]


def test_lines_end_alike_whatever_a_cell_holds() -> None:
    assert table_line(["a\rb", 'c"\n']) == '"a\rb","c""\n"\n'


def test_ids_files_and_columns_that_begin_like_formulas_come_back_through_a_manifest(tmp_path: Path) -> None:
    for name in ("=a.png", "-b.png", "'=c.png"):
        (tmp_path / name).write_bytes(b"")
    cases = [
        Case(id="=a", image=str(tmp_path / "=a.png"), label="+5 mm", patient="-7", more={"=x": "@1", "note": "-3.5"}),
        Case(id="-b", image=str(tmp_path / "-b.png"), masks=(str(tmp_path / "'=c.png"),), label="\rodd", patient="-x",
             more={"=x": "'", "note": "'=1"}),
    ]  # fmt: skip
    write_manifest(tmp_path / "manifest.csv", cases)
    assert read_manifest(tmp_path / "manifest.csv") == cases
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    assert not [cell for row in csv.reader(text.splitlines()) for cell in row if cell[:1] in set("=+@")]


def test_what_is_no_table_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,b\n1\n")
    with pytest.raises(DataError, match=r"row 2: 1 fields"):
        read_rows(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b'a\n"x\n')
    with pytest.raises(DataError, match="line 2"):
        read_rows(tmp_path / "a.csv")
    with pytest.raises(DataError, match="it is a folder, not a file"):
        read_rows(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"")
    assert read_rows(tmp_path / "a.csv") == read_columns(tmp_path / "a.csv") == []
