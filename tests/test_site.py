"""The site is whole: every page has its place, every public name its docstring, and pages show what commands print."""

import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import sfumato

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ORDER = tomllib.loads((DOCS / "navigation.toml").read_text(encoding="utf-8"))
LISTED = [page for pages in ORDER["pages"].values() for page in pages]
GLOSSARY = (DOCS / "glossary.md").read_text(encoding="utf-8")
DECISIONS = sorted(path.name for path in (DOCS / "adr").glob("[0-9]*.md"))


@pytest.fixture(scope="module")
def console() -> ModuleType:
    """`docs/console.py`, imported."""
    spec = spec_from_file_location("docs_console", DOCS / "console.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation_once() -> None:
    start = "docs/README.md"
    pages = {str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md")} - {start}
    assert pages <= set(LISTED) and len(LISTED) == len(set(LISTED))
    assert all((ROOT / page).is_file() for page in LISTED)


def test_navigation_is_a_tree_of_the_start_page() -> None:
    reached = ["docs/README.md"]
    for page in reached:
        reached += ORDER["pages"].get(page, [])
    assert sorted(reached) == sorted({"docs/README.md", *LISTED})
    assert set(ORDER["titles"]) <= set(LISTED)


def test_every_public_name_is_on_the_python_page() -> None:
    names = re.findall(r"^### `([\w.]+)`$", (DOCS / "python.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name in names if "." not in name) == sorted(sfumato._HOMES)
    assert len(set(names)) == len(names)


def test_names_on_the_python_page_have_a_sentence_for_the_site() -> None:
    """The form that `docs/conf.py` completes: a heading, an empty line, a paragraph, an empty line."""
    text = (DOCS / "python.md").read_text(encoding="utf-8")
    complete = re.findall(r"^### `[\w.]+`\n\n[A-Z][^#`]*?(?:`[\w.]+`[^#`]*?)*\.\n(?:\n|\Z)", text, re.MULTILINE)
    assert len(complete) == len(re.findall(r"^### ", text, re.MULTILINE))


def test_terms_are_sorted_and_have_a_sentence() -> None:
    terms = re.findall(r"^- \*\*(.+?)\*\*: .+\.$", GLOSSARY, re.MULTILINE)
    assert len(terms) > 50 and terms == sorted(set(terms), key=str.casefold)
    assert len(terms) == len(re.findall(r"^- ", GLOSSARY, re.MULTILINE))


def test_words_of_the_code_are_sorted_and_in_the_code() -> None:
    words = re.findall(r"^\| `(\w+)` \|", GLOSSARY, re.MULTILINE)
    assert len(words) >= 10 and words == sorted(set(words), key=str.casefold)
    code = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "src").rglob("*.py"))
    assert [word for word in words if not re.search(rf"\b{word}\b", code)] == []


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [name[:4] for name in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_says_what_why_and_at_what_cost(name: str) -> None:
    text = (DOCS / "adr" / name).read_text(encoding="utf-8")
    title = re.match(r"# (\d{4}): (.+)\n", text)
    assert title is not None and title[1] == name[:4]
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Decision", "Why", "Cost"]
    assert f"[{title[1]}: {title[2]}]({name})" in (DOCS / "adr" / "README.md").read_text(encoding="utf-8")


def test_commands_are_read_with_their_output(console: ModuleType) -> None:
    text = "```console\n$ one \\\n    --flag\nfirst\n\nsecond\n$ two\n```\n\n```sh\nthree\n```\n"
    assert list(console.commands_of(text)) == [("one \\\n    --flag", ("first", "", "second")), ("two", ())]


@pytest.mark.parametrize(
    ("expected", "fits"),
    [
        (["a 1", "b 0.25"], True),
        (["a 1"], False),
        (["a 1", "..."], True),
        (["...", "b 0.75"], True),
        (["...", "c"], False),
        (["a 2", "..."], False),
        (["...", "a 1"], False),
        (["b 0.25", "a 1"], False),
        (["..."], True),
        ([], False),
    ],
)
def test_output_is_compared_but_for_numbers_that_change(console: ModuleType, expected: list[str], fits: bool) -> None:
    assert (console.missing(expected, ["a 1", "b 0.50"]) is None) is fits


def test_a_command_that_fails_ends_its_page(
    console: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo $PWD/x > a; cat a\nx\n$ false | cat\n$ touch never\n```\n", encoding="utf-8")
    assert console.run(page)[:2] == ["page.md: $ false | cat", "  exit code 1"]
    page.write_text("```console\n$ echo x\ny\n```\n", encoding="utf-8")
    assert console.run(page)[1:] == ["  the page shows another output: y", "  | x"]
    assert console.main([str(page)]) == 1
