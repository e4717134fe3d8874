"""A public name says one thing: in the package it is defined in one place, but for those that are allowed here."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1] / "src" / "sfumato"

FACES = ("cli.py", "commands")
"""Left out: a command is the thin face of the verb of the same name, and its flags are those of the verb."""

ALLOWED: dict[str, frozenset[str]] = {
    # Every module that reads a format of volumes has these two, and `scan` chooses the module by the file.
    **dict.fromkeys(
        ("read_header", "read_volume"),
        frozenset(f"data.formats.{name}" for name in ("analyze", "dicom.series", "metaimage", "nifti", "nrrd", "scan")),
    ),
}
"""Public names that may have several homes, with these homes. It may only shrink."""


def test_a_public_name_has_one_home() -> None:
    several = {name: homes for name, homes in homes_of(ROOT).items() if len(homes) > 1}
    found = {name: [home for home in homes if home not in ALLOWED.get(name, ())] for name, homes in several.items()}
    new = [f"{name}: {', '.join(several[name])}" for name, homes in sorted(found.items()) if homes]
    assert not new, "call each what it is, make it private, or import the one from the other:\n" + "\n".join(new)


def test_what_is_allowed_is_needed() -> None:
    homes = homes_of(ROOT)
    idle = {name: sorted(allowed.difference(homes.get(name, ()))) for name, allowed in ALLOWED.items()}
    assert not {name: gone for name, gone in idle.items() if gone}, "take these out of the list"
    assert not [name for name, allowed in ALLOWED.items() if len(allowed) < 2], "take these out of the list"


def homes_of(root: Path) -> Mapping[str, Sequence[str]]:
    """The modules that define each public name, below a folder of sources."""
    homes = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root)
        if path.parts[0] not in FACES:
            for name in dict.fromkeys(defined(ast.parse(file.read_text(encoding="utf-8")).body)):
                if not name.startswith("_"):
                    homes[name].append(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    return homes


def defined(body: Iterable[ast.AST]) -> Iterator[str]:
    """The names that statements of a module define: functions, classes, constants and types, not what is imported."""
    for each in body:
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (part.id for target in targets for part in ast.walk(target) if is_bound(part))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.If() | ast.Try() | ast.ExceptHandler() | ast.With():
                yield from defined(ast.iter_child_nodes(each))


def is_bound(part: ast.AST) -> bool:
    return isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
