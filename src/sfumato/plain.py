"""Plain data out of files that anyone may have written: JSON and YAML, read within bounds, or refused in words.

A file of a few lines can ask for more than a machine has: by aliases that double at every line, by nesting, by numbers
of a million digits. So a file is small, what it means is counted before it is made, and no key stands in it twice.
Each reader is told how to fail: a function from a finding to the error that its caller's files have.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from sfumato.errors import DataError, SfumatoError
from sfumato.files import open_file
from sfumato.shortage import raise_shortage
from sfumato.wording import as_setting

Fault = Callable[[str], SfumatoError]
"""From what is wrong, which continues the name of a file, to the error."""

_Form = TypeVar("_Form")

MAX_BYTES = 2**26
"""Of a JSON file: far more than a summary of a million cases."""

DEEPEST = 64
"""Levels of a section within a section."""

MAX_NODES = 50_000
"""Values in a YAML file, aliases written out."""

MAX_WORD = 1000
"""Characters of a number, a date or a word that is none of a text."""

_SHOWN, _LONGEST_SHOWN = 5, 80
"""Mistakes that an error lists, and characters of a value that it shows."""

INTEGER, REAL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_KINDS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
_PLAIN = frozenset(f"tag:yaml.org,2002:{kind}" for kind in _KINDS)
_BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, LookupError)


def read_json(file: Path, fault: Fault, *, most: int = MAX_BYTES) -> Any:
    """The content of a JSON file.

    Raises:
        SfumatoError: as `fault` says: it is no regular file, too large, no JSON, nested too deep, or a key is twice.
    """
    return parse_json(read_bytes(file, fault, most=most), fault)


def read_object(file: Path, fault: Fault, *, most: int = MAX_BYTES) -> dict[str, Any]:
    """The content of a JSON file that holds names and values; see `read_json`."""
    content = read_json(file, fault, most=most)
    if not isinstance(content, dict):
        raise fault("holds no names with values")
    return content


def read_list(file: Path, fault: Fault, *, most: int = MAX_BYTES) -> list[Any]:
    """The content of a JSON file that holds a list; see `read_json`."""
    content = read_json(file, fault, most=most)
    if not isinstance(content, list):
        raise fault("holds no list")
    return content


def read_bytes(file: Path, fault: Fault, *, most: int) -> bytes:
    """A whole regular file of at most so many bytes."""
    try:
        with open_file(file) as stream:
            content = stream.read(most + 1)
    except (OSError, MemoryError) as error:
        raise_shortage(error, reading=file)
        raise fault(f"cannot be read ({error.strerror if isinstance(error, OSError) else error})") from error
    if len(content) > most:
        raise fault(f"is larger than {most / 1e6:g} MB")
    return content


def parse_json(text: str | bytes, fault: Fault) -> Any:
    """JSON from text in UTF-8; NaN and Infinity, which Python writes, are read."""
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise fault(f"is no JSON ({_first_line(error)})") from error
    if _is_deeper(content, DEEPEST):
        raise fault(f"is nested more than {DEEPEST} deep")
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if (twice := _twice(name for name, _ in pairs)) is not None:
        raise ValueError(f"{shown(twice)} stands twice in one section")
    return dict(pairs)


def _twice(names: Iterable[str]) -> str | None:
    """The first name that stands there again."""
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _is_deeper(content: Any, levels: int) -> bool:
    layer = [content]
    for _ in range(levels + 1):
        layer = [inner for each in layer for inner in _inner(each)]
        if not layer:
            return False
    return True


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def parse_yaml(text: str, fault: Fault) -> Any:
    """YAML of plain values: no tags, no key twice, at most `MAX_NODES` values with every alias written out."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None and _extent(node, {})[0] > MAX_NODES:
            raise yaml.YAMLError(f"it has more than {MAX_NODES} values")
        return None if node is None else loader.construct_document(node)
    except (yaml.YAMLError, *_BROKEN) as error:
        raise fault(f"is not YAML: {error}") from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers of JSON, and `.inf`; it stops at what is not plain before it is made.

    YAML 1.1 reads 0x10 as 16, 010 as 8, 1:30 as 90 and 1_000 as 1000. Here such words stay texts, and no field that
    wants a number takes them.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - so PyYAML keeps them
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (INTEGER, REAL)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """As in PyYAML, within bounds."""
        self._nodes, self._depth = self._nodes + 1, self._depth + 1
        if self._nodes > MAX_NODES or self._depth > DEEPEST:
            raise yaml.YAMLError(f"it has more than {MAX_NODES} values, or is nested more than {DEEPEST} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        _check(node)
        return node


_Loader.add_implicit_resolver(INTEGER, re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    REAL,
    re.compile(r"[-+]?(?:(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|\.inf)$"),
    list("-+.0123456789"),
)


def _check(node: yaml.Node | None) -> None:
    """Refuse what plain data do not have."""
    if node is None:
        return
    where = f" (line {node.start_mark.line + 1})"
    if node.tag not in _PLAIN:
        raise yaml.YAMLError(f"{node.tag.rpartition(':')[2][:40]} is no plain value{where}")
    if isinstance(node, yaml.ScalarNode) and not node.tag.endswith(":str") and len(node.value) > MAX_WORD:
        raise yaml.YAMLError(f"a value has {len(node.value)} characters{where}")
    if isinstance(node, yaml.MappingNode):
        twice = _twice(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice is not None:
            raise yaml.YAMLError(f"{shown(twice)} stands twice in one section{where}")


def _extent(node: yaml.Node, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Values of a node with its aliases written out, and how deep they are nested.

    Raises:
        ValueError: it holds itself, or is nested too deep.
    """
    if id(node) not in known:
        known[id(node)] = (0, DEEPEST)  # found again meanwhile, it holds itself
        value = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for each in value for part in (each if isinstance(each, tuple) else (each,))]
        below = [_extent(part, known) for part in parts]
        depth = 1 + max((depth for _, depth in below), default=0)
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        known[id(node)] = (1 + sum(count for count, _ in below), depth)
    return known[id(node)]


def shaped(form: Callable[[Any], _Form], content: Any, fault: Fault) -> _Form:
    """Content in the form that it should have.

    Args:
        form: makes it of the content, and raises pydantic's ValidationError.
        content: plain data.
        fault: what to raise.

    Raises:
        SfumatoError: with the first mistakes, each with its place.
    """
    try:
        return form(content)
    except ValidationError as error:
        raise fault(f"is incomplete or wrong: {'; '.join(mistakes(error))}") from None


def mistakes(error: ValidationError) -> Iterator[str]:
    """The first mistakes that pydantic found, each with its place and what was found there."""
    found = error.errors(include_url=False)
    for each in found[:_SHOWN]:
        place = ".".join(str(part)[:40] for part in each["loc"])
        yield f"{place}: {each['msg']} (found {shown(each['input'])})" if place else each["msg"]
    if len(found) > _SHOWN:
        yield f"and {len(found) - _SHOWN} more"


def shown(value: object) -> str:
    """A value for a message, as one writes it in a recipe, in few characters."""
    text = as_setting(_some(value, levels=3))
    cut = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} ..."
    return f"'{cut}'" if isinstance(value, str) else cut


def _some(value: Any, *, levels: int) -> Any:
    """The beginning of a value: there may be a million more."""
    match value:
        case str():
            return value[: _LONGEST_SHOWN + 1]
        case list() | tuple() | dict() if not levels:
            return "..."
        case list() | tuple():
            return [_some(inner, levels=levels - 1) for inner in value[: _SHOWN + 1]]
        case dict():
            return {shown(key): _some(value[key], levels=levels - 1) for key in list(value)[: _SHOWN + 1]}
    return value


def ours(file: Path) -> Fault:
    """The fault of a file that sfumato wrote into a folder."""

    def fault(finding: str) -> DataError:
        return DataError(
            f"{file} is damaged: it {finding}",
            expected="a file as sfumato writes it",
            remedy="run the command that wrote it again",
            code="DATA-024",
        )

    return fault


@contextmanager
def in_form(fault: Fault) -> Iterator[None]:
    """Content whose form nobody wrote down is used within: where it is another, that is told in words."""
    try:
        yield
    except _BROKEN as error:
        raise fault(f"has not the form that sfumato writes ({type(error).__name__}: {_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200]
