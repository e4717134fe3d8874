"""Cases that a Python program gives: an iterable of them, or what a factory that is called `module:function` makes."""

import importlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset, finalise_dataset
from sfumato.errors import DataError, UsageError, listed

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_factory(source: Path | str) -> bool:
    """Whether a text is `module:function`, and no file or folder."""
    return isinstance(source, str) and _FACTORY.fullmatch(source) is not None and not Path(source).exists()


def given_by_python(source: object) -> DiscoveredDataset:
    """The cases of an iterable, or of a factory by its name.

    Raises:
        UsageError: there is no such factory, or it gives something else, or nothing.
        DataError: ids occur more than once.
    """
    if isinstance(source, str):
        return _of_python(_made(source), source)
    return _of_python(source, "the iterable")


def _made(name: str) -> object:
    """What the factory gives."""
    module, _, function = name.partition(":")
    try:
        made: object = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UsageError(
            f"'{name}' is no file or folder, and no function that gives cases: {error}",
            expected="a path, or module:factory with a function without arguments in a module that Python finds",
            remedy="check the path, or set PYTHONPATH",
        ) from error
    return made


def _of_python(given: object, name: str) -> DiscoveredDataset:
    """Cases that a program made."""
    items = tuple(given) if isinstance(given, Iterable) else (given,)
    cases, others = list[Case](), list[str]()
    for item in items:
        if isinstance(item, Case):
            cases.append(item)
        else:
            others.append(type(item).__name__)
    if others or not cases:
        what = others[0] if others else "no cases"
        raise UsageError(f"{name} gives {what}", expected="an iterable of sfumato.data.manifest.Case")
    ids = Counter(case.id for case in cases)
    if twice := [name for name, count in ids.items() if count > 1]:
        raise DataError(f"{name}: these ids occur more than once:\n{listed(twice)}", code="DATA-016")
    return finalise_dataset(cases, [], form="Python")
