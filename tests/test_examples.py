"""Every example runs, and is short. Notebooks are executed by the build of the site; here they are looked at."""

import ast
import json
import runpy
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own assertions are the test; what it writes, it writes into the current folder."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(example), run_name="__main__")


def test_examples_are_short_and_numbered() -> None:
    assert [example.name[:3] for example in EXAMPLES] == [f"{number:02}_" for number in range(1, len(EXAMPLES) + 1)]
    for example in EXAMPLES:
        assert len(example.read_text(encoding="utf-8").splitlines()) < 60, example.name


def test_notebooks_hold_no_outputs_and_what_they_import_is_there() -> None:
    notebooks = sorted((Path(__file__).parents[1] / "examples" / "notebooks").glob("*.ipynb"))
    assert [notebook.stem for notebook in notebooks] == ["sdd_process", "segment", "synthesise"]
    for notebook in notebooks:
        cells = [cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
        assert cells and not any(cell["outputs"] or cell["execution_count"] for cell in cells), notebook.name
        for cell in cells:
            body = ast.parse("".join(cell["source"]), notebook.name).body
            imports = [each for each in body if isinstance(each, ast.Import | ast.ImportFrom)]
            exec(compile(ast.Module(imports, []), notebook.name, "exec"), {})  # what they import is there
