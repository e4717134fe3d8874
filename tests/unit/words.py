"""Plain data changed by somebody: values of other kinds and sizes, keys gone, added or moved, by a seed."""

import copy
import random
from collections.abc import Iterator
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 1.5, 1e308, float("nan"), float("inf"), 10**9, 10**12, 10**30, "", "auto", "a" * 500,
    "../../etc/passwd", "os:system", [], [1], ["a"], [[1]], [10**9, 10**9], [1] * 1000, {}, {"a": 1}, {"kind": "x"},
)  # fmt: skip

Path = tuple[str | int, ...]


def changed(content: Any, random_: random.Random) -> Any:
    """The content with one to three changes."""
    content = copy.deepcopy(content)
    for _ in range(random_.choice([1, 1, 1, 2, 3])):
        place = random_.choice(list(_places(content)))
        if not place:
            return random_.choice(ODD)
        _change(content, place, random_)
    return content


def _change(content: Any, place: Path, random_: random.Random) -> None:
    *above, last = place
    for key in above:
        content = content[key]
    kind, value = random_.random(), content[last]
    if kind < 0.15 and isinstance(content, dict):
        del content[last]
    elif kind < 0.25 and isinstance(content, dict):
        content[f"key{random_.randrange(9)}"] = random_.choice(ODD)
    elif kind < 0.4 and isinstance(content, dict):
        content[last] = copy.deepcopy(random_.choice(list(content.values())))
    elif kind < 0.6 and isinstance(value, int | float):
        content[last] = value * random_.choice([0, -1, 2, 1000, 10**6])
    else:
        content[last] = random_.choice(ODD)


def _places(value: Any, place: Path = ()) -> Iterator[Path]:
    """Where the values of plain data are; of a list the first four."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    for key, below in inner:
        yield from _places(below, (*place, key))
