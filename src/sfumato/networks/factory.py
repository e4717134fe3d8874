"""Which function builds a network of the user's own, and which code may be imported to find it.

A recipe travels inside models, and a model may come from anyone: a name alone must not make this machine run things.
So `module:function` is looked for, in this order,

1. among the functions that carry the mark in this program already, as those of a script or a notebook do;
2. in what the person named with `--allow-code`: a file, or a folder of modules;
3. in installed packages.

It is looked for nowhere else: not in the current folder, not on PYTHONPATH, not in the standard library. The source of
a module is read before it is run, and it is run only where it defines a function of this name below the mark.
`info`, `check`, `report` and `evaluate` look for none at all.
"""

import ast
import json
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module, invalidate_caches
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlparse

from sfumato.errors import AbsentError, UsageError

Builder = Callable[..., Any]
Marked = TypeVar("Marked", bound=Builder)

AnyDistribution = Any
"""`importlib.metadata.Distribution`, or that of the package importlib_metadata, once anybody has imported it."""

_MARK = "is_sfumato_network_factory"

_marked: dict[str, Builder] = {}
"""The functions that were marked in this program, by `module:function`."""

_allowed: list[Path] = []
"""What the person allowed, in this order."""


def network_factory(function: Marked) -> Marked:
    """Mark a function that builds networks, so that recipes may name it.

    Args:
        function: takes the keywords channels_in, channels_out, channels_condition, classes, augment_labels (0 where
            there is none), size (h, w) or of volumes (d, h, w), and the options of the recipe. Its network is called as
            `network(x, level, condition)`: the state (b, channels_in, *size), ln(sigma / alpha) / 4 of each item, and a
            `Condition` with image and label (`classes` or None: no class); it returns (b, channels_out, *size).
            It may be called more than once, also with `torch.device("meta")`, on which nothing is computed.
    """
    setattr(function, _MARK, True)
    if hasattr(function, "__qualname__"):
        _marked[f"{function.__module__}:{function.__qualname__}"] = function
    return function


def allow_code(path: Path) -> None:
    """Let recipes name the factories in a file, or in the modules of a folder, which may import each other.

    Raises:
        UsageError: there is no such Python file or folder.
    """
    if not (path.is_dir() or (path.is_file() and path.suffix == ".py")):
        raise UsageError(
            f"--allow-code {path} is no code",
            expected="a .py file, or a folder of them, whose functions may build networks",
        )
    _allowed.append(path.resolve())
    if path.is_dir() and str(_allowed[-1]) not in sys.path:
        sys.path.append(str(_allowed[-1]))


def find_factory(words: str) -> Builder:
    """The function that `module:function` names.

    Raises:
        AbsentError: nobody allowed it, there is none, it carries no mark, or its module fails.
    """
    module, _, name = words.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise AbsentError(f"network.factory {words[:80]!r} is no name", expected="module:function")
    if words in _marked:
        return _marked[words]
    top, *rest = module.split(".")
    spec = _in_allowed(top, rest) or _in_installed(top, rest)
    if spec is None:
        raise AbsentError(
            f"network.factory {words}: neither code that was allowed nor an installed package has a module {module}",
            expected="a network that you trust: a recipe or model only names it, and naming it must not run it",
            remedy="if you know its code: --allow-code FILE.py, or the folder that holds it",
        )
    if not _defines(spec, name):
        raise AbsentError(
            f"network.factory {words} is not marked as a builder of networks, so {spec.origin} is not run",
            remedy="put @sfumato.network_factory above its definition",
        )
    return _imported(words, module, name, spec)


def _imported(words: str, module: str, name: str, spec: ModuleSpec) -> Builder:
    """The marked function, once its module has been run."""
    try:
        found: Builder | None = getattr(import_module(module), name, None)
    except Exception as error:  # code of the user
        raise AbsentError(
            f"network.factory {words}: {spec.origin} fails: {type(error).__name__}: {error}",
            remedy="mend it; if it imports modules beside it, allow their folder: --allow-code FOLDER",
        ) from error
    if found is None or not getattr(found, _MARK, False):
        raise AbsentError(f"network.factory {words}: {spec.origin} defines it, but not with this name in the end")
    return found


def _in_allowed(top: str, rest: Sequence[str]) -> ModuleSpec | None:
    """Where a module lies in what was allowed, ready to be imported; None if it is not there."""
    for path in _allowed:
        root = _allowed_root(path, top)
        spec = root and _below(root, rest)
        if root and spec:
            _prepare(top, root, path)
            return spec
    return None


def _allowed_root(path: Path, top: str) -> ModuleSpec | None:
    """The module or package `top` that an allowed path is or holds."""
    if path.is_file():
        return spec_from_file_location(top, path) if path.stem == top else None
    if path.name == top and (path / "__init__.py").is_file():
        return spec_from_file_location(top, path / "__init__.py", submodule_search_locations=[str(path)])
    invalidate_caches()
    return PathFinder.find_spec(top, [str(path)])


def _prepare(top: str, root: ModuleSpec, path: Path) -> None:
    """Let imports find the module `top` where it was allowed.

    Raises:
        AbsentError: a module of Python or of this program has its name.
    """
    there = sys.modules.get(top)
    if top in sys.stdlib_module_names or (there is not None and not _same(there.__spec__, root)):
        raise AbsentError(
            f"--allow-code {path}: {top} is the name of another module too", remedy="give the file another name"
        )
    if there is None:
        sys.meta_path.insert(0, _Only(top, root))


class _Only:
    """Finds one module where it was allowed, whatever else has its name."""

    def __init__(self, name: str, spec: ModuleSpec) -> None:
        self._name, self._spec = name, spec

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        """The form of `importlib.abc.MetaPathFinder`."""
        return self._spec if name == self._name else None


def _in_installed(top: str, rest: Sequence[str]) -> ModuleSpec | None:
    """Where a module of an installed package lies; None if no installed package has it.

    Raises:
        AbsentError: Python would import another one of this name.
    """
    root = None if top in sys.stdlib_module_names else _installed_root(top)
    if root is None:
        return None
    try:
        imported = find_spec(top)  # runs nothing: it is no submodule
    except ValueError:
        imported = None
    if not _same(imported, root):
        raise AbsentError(
            f"network.factory: the package {top} is installed, but Python would import another of its name",
            remedy="start sfumato from another folder, and take what is not installed off PYTHONPATH",
        )
    return _below(root, rest)


def _installed_root(top: str) -> ModuleSpec | None:
    """The module or package `top` where an installed distribution put it."""
    folders = _site_folders()
    spec = PathFinder.find_spec(top, folders)
    from importlib.metadata import distributions  # every start would pay for it

    for distribution in distributions(path=folders):
        if spec is not None and top in _tops(distribution):
            return spec
        if (editable := _editable(distribution, top)) is not None:
            return editable
    return None


def _site_folders() -> list[str]:
    """The folders into which packages are installed."""
    paths = sysconfig.get_paths()
    own = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    known = [paths["purelib"], paths["platlib"], *site.getsitepackages(), *own]
    return [folder for folder in dict.fromkeys(known) if Path(folder).is_dir()]


def _tops(distribution: AnyDistribution) -> set[str]:
    """Names of the modules and packages that a distribution installed."""
    return {file.parts[0].removesuffix(".py") for file in distribution.files or () if file.suffix == ".py"}


def _editable(distribution: AnyDistribution, top: str) -> ModuleSpec | None:
    """The module `top` of a project that is installed as it lies in its own folder."""
    about = json.loads(distribution.read_text("direct_url.json") or "{}")
    if not about.get("dir_info", {}).get("editable"):
        return None
    path = unquote(urlparse(about["url"]).path)
    project = Path(path.lstrip("/") if os.name == "nt" else path).resolve()
    if (spec := PathFinder.find_spec(top, list(_added_folders(distribution, project)))) is not None:
        return spec
    if top not in (distribution.read_text("top_level.txt") or "").split():
        return None
    found = find_spec(top)  # by the finder of setuptools, which knows where the packages of a project are
    return found if found is not None and _is_below(found, project) else None


def _added_folders(distribution: AnyDistribution, project: Path) -> Iterator[str]:
    """Folders of a project that its installation lets Python look into."""
    for file in distribution.files or ():
        if file.suffix == ".pth":
            lines = Path(str(distribution.locate_file(file))).read_text(encoding="utf-8", errors="replace").splitlines()
            yield from (line for line in lines if Path(line).is_dir() and Path(line).resolve().is_relative_to(project))


def _below(root: ModuleSpec, rest: Iterable[str]) -> ModuleSpec | None:
    """The submodule of a package by the names that lead to it, found without importing the package."""
    spec: ModuleSpec | None = root
    for name in rest:  # the bare name: for a whole one the finder asks for the package, which is not imported
        spec = spec and PathFinder.find_spec(name, list(spec.submodule_search_locations or ()))
    return spec


def _same(one: ModuleSpec | None, other: ModuleSpec) -> bool:
    """Whether two specifications are of the same files."""
    return one is not None and _places(one) == _places(other)


def _is_below(spec: ModuleSpec, folder: Path) -> bool:
    return all(place.is_relative_to(folder) for place in _places(spec))


def _places(spec: ModuleSpec) -> list[Path]:
    origin = [spec.origin] if spec.origin and spec.has_location else []
    return [Path(place).resolve() for place in (*origin, *(spec.submodule_search_locations or ()))]


def _defines(spec: ModuleSpec, name: str) -> bool:
    """Whether the source of a module, which is not run, defines `name` below the mark."""
    if not isinstance(spec.loader, SourceFileLoader):
        return False
    try:
        tree = ast.parse(spec.loader.get_data(spec.loader.path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(_is_marked(node, name) for node in ast.walk(tree))


def _is_marked(node: ast.AST, name: str) -> bool:
    """`@network_factory` above a definition of this name, or `name = network_factory(...)`."""
    match node:
        case ast.FunctionDef(name=defined) | ast.ClassDef(name=defined) if defined == name:
            return any(map(_is_the_mark, node.decorator_list))
        case ast.Assign(targets=[ast.Name(id=defined)], value=ast.Call(func=called)) if defined == name:
            return _is_the_mark(called)
    return False


def _is_the_mark(node: ast.expr) -> bool:
    word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return word == network_factory.__name__
