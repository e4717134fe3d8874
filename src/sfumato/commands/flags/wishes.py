"""Which images are asked for: `--count`, `--class`, `--per-class` and `--seeds`."""

from collections import Counter
from collections.abc import Sequence

from sfumato.errors import UsageError
from sfumato.inference import Wanted

UNCONDITIONAL = "unconditional"
"""The word for 'no class'."""


def plan_images(
    classes: Sequence[str], *, count: int, label: str | None, per_class: str | None, seeds: str | None
) -> list[Wanted]:
    """The images that were asked for, each with its seed.

    Raises:
        UsageError: a class that the model does not know, or fewer seeds than images.
    """
    if per_class is not None:
        labels = [known_class(name, classes) for name, number in _counts(per_class) for _ in range(number)]
    elif label is not None:
        labels = [known_class(label, classes)] * count
    else:
        labels = [classes[k % len(classes)] if classes else None for k in range(count)]
    numbers = list(range(len(labels))) if seeds is None else parse_seeds(seeds)
    if not labels or len(numbers) < len(labels):
        raise UsageError(
            f"{len(labels)} images with {len(numbers)} seeds", expected="at least one image, and a seed for each",
            remedy="give more --seeds or a smaller --count",
        )  # fmt: skip
    return [Wanted(index, name, seed) for index, (name, seed) in enumerate(zip(labels, numbers, strict=False))]


def parse_seeds(text: str) -> list[int]:
    """Seeds like 0-63 or 3,7,20-29, in the order in which they are given.

    Raises:
        UsageError: the text is something else, a range runs backwards, or a seed is given twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(f"--seeds {text}", expected="numbers and ranges like 0-63 or 3,7,20-29")
        if dash and int(last) < int(first):
            raise UsageError(f"--seeds {text}: {part.strip()} runs backwards", remedy=f"{last}-{first}")
        seeds.extend(range(int(first), int(last or first) + 1))
    if twice := [str(seed) for seed, number in Counter(seeds).items() if number > 1]:
        raise UsageError(
            f"--seeds {text} names a seed twice: {', '.join(twice[:5])}", expected="each seed once: it is one image"
        )
    return seeds


def known_class(name: str, classes: Sequence[str]) -> str | None:
    """The class of a word; None for 'unconditional'.

    Raises:
        UsageError: the model does not know it.
    """
    if name == UNCONDITIONAL:
        return None
    if name not in classes:
        known = ", ".join(classes) or "none: it is unconditional"
        raise UsageError(f"the model has no class {name}", expected=f"one of its classes: {known}")
    return name


def _counts(text: str) -> list[tuple[str, int]]:
    pairs = [part.strip().rpartition("=") for part in text.split(",")]
    if not all(name and number.isdigit() for name, _, number in pairs):
        raise UsageError(f"--per-class {text}", expected="counts like benign=100,malignant=300")
    return [(name, int(number)) for name, _, number in pairs]
