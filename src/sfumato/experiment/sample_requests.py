"""Which images are asked for: how many, of which classes, from which seeds; in words or as numbers."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sfumato.data.source.people.classes import plain_name
from sfumato.errors import UsageError
from sfumato.experiment.inference import SampleRequest
from sfumato.numerals import whole

UNCONDITIONAL = "unconditional"
"""The word for 'no class'."""

_COUNT = 64
"""Images that are made where nothing is said."""


def plan_images(
    classes: Sequence[str],
    *,
    count: int | None = None,
    label: str | None = None,
    per_class: Mapping[str, int] | str | None = None,
    missing: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[SampleRequest]:
    """The images that were asked for, each with its seed.

    Args:
        classes: that the model knows.
        count: how many; as many as seeds or 64 by default; the classes in turn.
        label: the class of all; 'unconditional' for none.
        per_class: how many of each class; also in words like benign=100,malignant=300.
        missing: the class of each image, where a dataset says which it lacks.
        seeds: of each image; by default 0, 1, 2, ...

    Raises:
        UsageError: a class that the model does not know, another number of seeds than of images, or flags that exclude
            each other.
    """
    _refuse_two({"--count": count, "--class": label}, {"--per-class": per_class}, {"--balance": missing})
    labels: Sequence[str | None]
    if count is None:
        count = _COUNT if seeds is None else len(seeds)
    if missing is not None:
        labels = missing
    elif per_class is not None:
        labels = [known_class(name, classes) for name, number in _counts(per_class, classes) for _ in range(number)]
    elif label is not None:
        labels = [known_class(label, classes)] * count
    else:
        labels = [classes[k % len(classes)] if classes else None for k in range(count)]
    numbers = range(len(labels)) if seeds is None else seeds
    _refuse_twice(numbers)
    if not labels or len(numbers) != len(labels):
        raise UsageError(
            f"{len(labels)} images with {len(numbers)} seeds",
            expected="at least one image, and a seed for each",
            remedy="give as many --seeds as images; with --seeds alone there are as many images as seeds",
        )
    return [SampleRequest(index, name, seed) for index, (name, seed) in enumerate(zip(labels, numbers, strict=True))]


def _refuse_two(*ways: Mapping[str, object]) -> None:
    """There is one way to say how many images of what are wanted."""
    given = [[flag for flag, value in way.items() if value is not None] for way in ways]
    if sum(map(bool, given)) > 1:
        raise UsageError(
            " with ".join(flag for flags in given for flag in flags),
            expected="--count and --class, or --per-class, or --balance",
        )


def parse_seeds(text: str) -> list[int]:
    """Seeds like 0-63 or 3,7,20-29, in the order in which they are given.

    Raises:
        UsageError: the text is something else, a range runs backwards, or a seed is given twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or not part.isascii():
            raise UsageError(f"--seeds {text}", expected="numbers and ranges like 0-63 or 3,7,20-29")
        if dash and int(last) < int(first):
            raise UsageError(f"--seeds {text}: {part.strip()} runs backwards", remedy=f"{last}-{first}")
        seeds.extend(range(int(first), int(last or first) + 1))
    _refuse_twice(seeds)
    return seeds


def _refuse_twice(seeds: Sequence[int]) -> None:
    if twice := [str(seed) for seed, number in Counter(seeds).items() if number > 1]:
        raise UsageError(
            f"--seeds names a seed twice: {', '.join(twice[:5])}", expected="each seed once: it is one image"
        )


def known_class(name: str, classes: Sequence[str]) -> str | None:
    """The class of a word; None for 'unconditional'.

    Raises:
        UsageError: the model does not know it.
    """
    spelt = {plain_name(known): known for known in classes}
    if plain_name(name) in spelt:
        return spelt[plain_name(name)]
    if name.strip() == UNCONDITIONAL:
        return None
    if not classes:
        raise UsageError(
            f"class {name}: the model is unconditional, it was trained without classes",
            expected=f"no class, or the word {UNCONDITIONAL}",
            remedy="leave the class out; for a model that knows classes: sfumato train generate with --cond class",
        )
    raise UsageError(f"the model has no class {name}", expected=f"one of its classes: {', '.join(classes)}")


def known_classes(text: str, classes: Sequence[str]) -> list[str | None]:
    """The classes of words with commas between them; a comma may be part of a name that the model knows.

    Raises:
        UsageError: the model does not know one of them.
    """
    return [known_class(part, classes) for part in _parts(text, lambda part: _is_known(part, classes))]


def _counts(given: Mapping[str, int] | str, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Classes with numbers; commas and equals signs may be part of a name that the model knows."""
    counts = _counts_in(given, classes) if isinstance(given, str) else list(given.items())
    if not all(name and count > 0 for name, count in counts):
        raise UsageError(f"--per-class {given}", expected="counts from 1 on, like benign=100,malignant=300")
    return counts


def _counts_in(text: str, classes: Sequence[str]) -> list[tuple[str, int]]:
    parts = _parts(text, lambda part: _is_known(part.rpartition("=")[0], classes))
    pairs = [part.strip().rpartition("=") for part in parts]
    return [(name, whole(number) or 0) for name, _, number in pairs]


def _is_known(name: str, classes: Sequence[str]) -> bool:
    return plain_name(name) in {UNCONDITIONAL, *map(plain_name, classes)}


def _parts(text: str, is_whole: Callable[[str], bool]) -> list[str]:
    """A text cut at its commas, but for those within a part that is only whole with them."""
    pieces, parts = text.split(","), list[str]()
    while pieces:
        lengths = range(1, len(pieces) + 1)
        length = next((length for length in lengths if is_whole(",".join(pieces[:length]))), 1)
        parts.append(",".join(pieces[:length]))
        del pieces[:length]
    return parts
