"""The documentation is true: pages are current, codes complete, commands parse, snippets import, links lead."""

import ast
import importlib
import io
import re
import shlex
from importlib.util import module_from_spec, spec_from_file_location
from itertools import takewhile
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
import yaml
from rich.console import Console

from sfumato import cli
from sfumato.errors import UsageError
from sfumato.recipe import DEFAULTS, load_recipe, merge, parse_recipe

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "sfumato"
ROOMS = ("docs", "benchmarks", "examples", "findings", "recipes", "tests")
PAGES = [
    *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
MARKDOWN = sorted({*PAGES, *ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))})
SNIPPET = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"\b(?:DATA|SCORE)-\d{3}\b")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
RULE = re.compile(r"\|(\s*:?-{3,}:?\s*\|)+")
BORDER = re.compile(r"(?<!\\)\|")


class Snippet(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


SNIPPETS = [
    Snippet(str(page.relative_to(ROOT)), *match.groups())
    for page in PAGES
    for match in SNIPPET.finditer(page.read_text(encoding="utf-8"))
]


def in_language(language: str) -> list[Snippet]:
    return [snippet for snippet in SNIPPETS if snippet.language == language]


def sfumato_commands() -> list[tuple[str, str]]:
    """Every command line of sfumato, in shell snippets and (those with a flag) within sentences, with its page."""
    lines = [(snippet.page, line) for snippet in in_language("sh") for line in snippet.text.splitlines()]
    for snippet in in_language("console"):  # these are also run, by docs/console.py
        typed = re.findall(r"^\$ ((?:.*\\\n)*.*)$", snippet.text, re.MULTILINE)
        lines += [(snippet.page, re.split(r" (?:\|\||&&|\|) ", line.replace("\\\n", ""))[0]) for line in typed]
    for page in PAGES:
        text = SNIPPET.sub("", page.read_text(encoding="utf-8"))
        inline = [command.replace("\n", " ") for command in re.findall(r"`(sfumato [^`]*)`", text)]
        lines += [(str(page.relative_to(ROOT)), command) for command in inline if " --" in command]
    return [(page, line) for page, line in lines if re.match(r"sfumato |torchrun .*-m sfumato ", line)]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """`docs/build.py`, imported."""
    spec = spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(build: ModuleType) -> dict[Path, str]:
    """The pages that are generated, made once."""
    return build.pages()


def test_generated_pages_are_current(generated: dict[Path, str]) -> None:
    stale = [file.name for file, text in generated.items() if file.read_text(encoding="utf-8") != text]
    assert not stale, "run: python docs/build.py"


def rows_that_break(text: str) -> list[str]:
    """Lines of tables that have not as many cells as the head; a table ends at the first empty line."""
    lines, broken = FENCED.sub("", text).splitlines(), []
    for place, line in enumerate(lines):
        if RULE.fullmatch(line.strip()):
            head = _cells(lines[place - 1])
            body = takewhile(str.strip, lines[place:])
            broken += [row for row in body if _cells(row) != head or not _is_closed(row)]
    return broken


def _cells(row: str) -> int:
    return len(BORDER.findall(row)) - 1


def _is_closed(row: str) -> bool:
    return row.strip().startswith("|") and row.strip().endswith("|")


def test_broken_rows_are_seen() -> None:
    table = "| a | b |\n| --- | --- |\n| 1 | 2 \\| 3 |\n"
    assert rows_that_break(table) == []
    assert rows_that_break(table + "| 1\n2 | 3 |\n") == ["| 1", "2 | 3 |"]
    assert rows_that_break(table + "| 1 | 2 | 3 |\n") == ["| 1 | 2 | 3 |"]
    assert rows_that_break(f"```\n{table}| 1\n```\n") == []


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_row_of_a_table_has_the_cells_of_its_head(page: Path) -> None:
    assert rows_that_break(page.read_text(encoding="utf-8")) == []


def test_a_cell_is_one_line_without_borders(build: ModuleType) -> None:
    row = build.Row("--flag", ("text", "`a|b`"), "Two lines,\n  the second | with a bar.")
    section = build.Section("A verb", "What it does.", ("parameter", "values", "default", "meaning"), (row,))
    page = build.page("", [section])
    assert rows_that_break(page) == []
    assert "Two lines, the second \\| with a bar. |" in page


def test_every_field_and_parameter_is_described(build: ModuleType) -> None:
    assert build.undescribed() == []


def test_check_complains_and_writes_nothing(
    build: ModuleType,
    generated: dict[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pages = {tmp_path / file.name: text for file, text in generated.items()}
    monkeypatch.setattr(build, "pages", lambda: pages)
    assert build.main(["--check"]) == 1
    assert "recipe.md is out of date" in capsys.readouterr().err and not list(tmp_path.iterdir())
    assert build.main([]) == 0
    monkeypatch.setattr(build, "undescribed", lambda: ["train.batch"])
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().err == "train.batch has no description\n"


def test_recipe_page_has_every_key(build: ModuleType) -> None:
    """Every key of both default recipes; the kinds are in the headings."""
    paths = {row.name for section in build.recipe_sections() for row in section.rows}
    for task in DEFAULTS:
        keys = set(flat(load_recipe(task).model_dump(mode="json", by_alias=True)))
        assert {key for key in keys if not key.endswith(".kind")} <= paths


def flat(recipe: dict[str, object], above: str = "") -> list[str]:
    keys = []
    for key, value in recipe.items():
        keys += flat(value, f"{above}{key}.") if isinstance(value, dict) else [above + key]
    return keys


def test_error_codes_are_complete() -> None:
    used = {code for file in SOURCE.rglob("*.py") for code in re.findall(rf'"({CODE.pattern})"', file.read_text())}
    rows = re.findall(r"^\| (\S+-\d{3}) \|", (ROOT / "docs" / "errors.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert used and rows == sorted(used)


def test_pages_name_no_unknown_code() -> None:
    known = set(CODE.findall((ROOT / "docs" / "errors.md").read_text(encoding="utf-8")))
    for page in PAGES:
        assert set(CODE.findall(page.read_text(encoding="utf-8"))) <= known, page.name


@pytest.mark.parametrize(("page", "line"), sfumato_commands())
def test_command_lines_parse(page: str, line: str) -> None:
    """The command exists, its words fit, and its settings are those of a recipe."""
    words = shlex.split(line, comments=True)
    code = words.index("--allow-code") if "--allow-code" in words else len(words)
    everywhere = {"--json", "--debug", *words[code : code + 2]}
    words = [word for word in words[words.index("sfumato") + 1 :] if word not in everywhere]
    command, bound, _ = cli.app.parse_args(words, exit_on_error=False, print_error=False)
    given = bound.arguments
    if given.get("set") or given.get("recipe"):
        file = given.get("recipe")
        load_recipe(command.__name__, file and ROOT / file, settings=given.get("set") or [])


def test_there_are_command_lines() -> None:
    assert {page for page, _ in sfumato_commands()} >= {"README.md", "docs/start.md", "docs/how-to.md"}


@pytest.mark.parametrize("snippet", in_language("python"), ids=lambda snippet: snippet.page)
def test_python_snippets_compile_and_import(snippet: Snippet) -> None:
    tree = ast.parse(snippet.text)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for node in imports:
        if (node.module or "").startswith("sfumato"):
            module = importlib.import_module(node.module or "")
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("snippet", in_language("yaml"), ids=lambda snippet: snippet.page)
def test_yaml_snippets_are_recipes(snippet: Snippet) -> None:
    errors = []
    for defaults in DEFAULTS.values():
        try:
            parse_recipe(merge(defaults, yaml.safe_load(snippet.text)), origin=snippet.page)
        except UsageError as error:
            errors.append(str(error))
    assert len(errors) < len(DEFAULTS), errors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http:", "https:")):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def anchors(page: Path) -> set[str]:
    """The anchors that a code host gives to headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text(encoding="utf-8"))}
    assert linked >= set((ROOT / "docs").glob("*.md")) - {index}
    assert linked >= set((ROOT / "examples").glob("*.py"))


def test_help_lists_every_command() -> None:
    titles = re.findall(r"^## sfumato (.+)$", (ROOT / "docs" / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(titles) == len(cli.COMMANDS)
    for title in titles:
        *parents, name = title.split()
        written = io.StringIO()
        cli.app.help_print(parents, console=Console(file=written, width=120))
        assert re.search(rf"^\W*{name}\b", written.getvalue(), re.MULTILINE), title


def equation_modules() -> list[tuple[str, str]]:
    """Letter and module, by the table on the theory page that says which is whose."""
    rows = re.findall(r"^\| ([A-Z](?:, [A-Z])*) \| (.+?) \|", theory(), re.MULTILINE)
    return [
        pair
        for letters, links in rows
        for pair in zip(letters.split(", "), re.findall(r"src/sfumato/([\w/]+)\.py", links), strict=True)
    ]


def theory() -> str:
    pages = sorted((ROOT / "docs").glob("theory*.md"))
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


@pytest.mark.parametrize(("letter", "module"), equation_modules())
def test_equations_have_the_numbers_of_the_code(letter: str, module: str) -> None:
    """An equation of the theory pages stands under its number in the module's docstring."""
    docstring = importlib.import_module(f"sfumato.{module.replace('/', '.')}").__doc__ or ""
    in_code = set(re.findall(r" \((\d)\)$", docstring, re.MULTILINE))
    assert in_code and set(re.findall(rf"\({letter}(\d)\)", theory())) == in_code


def test_all_equations_have_a_module() -> None:
    letters = {letter for letter, _ in equation_modules()}
    assert letters == set(re.findall(r"\(([A-Z])\d\)", theory())) and len(letters) == len(equation_modules())


def test_lines_of_the_readme_can_be_typed_one_after_the_other() -> None:
    """None writes what another wrote, which would be refused."""
    lines = [line for page, line in sfumato_commands() if page == "README.md"]
    written = [word for line in lines for word in re.findall(r"--(?:out|report) (\S+)", line)]
    assert len(written) > 10 and len(set(written)) == len(written)
