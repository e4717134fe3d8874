"""What `sfumato tune` tries: fields of the recipe, each with a range of numbers or a list of values.

    train.learning_rate=1e-5..1e-2:log       numbers, each power of ten as likely as the next
    train.warmup=0..500                      whole numbers, as the field holds no others
    network.multipliers=[1,2],[1,2,4]        one of these values, written as in a recipe

Trials are compared by their score on the same data after the same work, so what would change one of these is refused.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sfumato.errors import UsageError
from sfumato.numerals import decimal
from sfumato.plain import parse_yaml
from sfumato.recipe.load import load_recipe
from sfumato.recipe.part import SHORT, TaskKind, count

DEFAULT_SEARCH = "train.learning_rate=1e-5..1e-2:log"

FIXED = {
    "task": "it is a study of one job",
    "data.augment": "",
    "data.": "the data are prepared once for all trials",
    "validate.": "trials are compared by it",
    "checkpoint.": "it changes no score",
    "track.": "it changes no score",
    "train.steps": "every trial is as long as the next",
    "train.images": "every trial is as long as the next",
    "train.epochs": "every trial is as long as the next",
    "train.minutes": "every trial is as long as the next",
    "train.least_steps": "every trial is as long as the next",
}
"""Fields, or beginnings of them, that cannot be searched, and why; the first that fits counts."""

_RANGE = re.compile(r"(?P<low>[^,\[\]{}]+?)\.\.(?P<high>[^,\[\]{}:]+)(?P<log>:log)?")


class Range(NamedTuple):
    """Numbers from low to high.

    Attributes:
        field: dotted path in the recipe.
        low: smallest value.
        high: largest value.
        log: whether the logarithm is uniform.
        whole: whether only whole numbers are meant.
    """

    field: str
    low: float
    high: float
    log: bool = False
    whole: bool = False


class Options(NamedTuple):
    """One of several values.

    Attributes:
        field: dotted path in the recipe.
        values: each as JSON.
    """

    field: str
    values: tuple[str, ...]


Search = Range | Options


def parse_searches(
    words: Sequence[str], *, task: TaskKind, file: Path | None, settings: Sequence[str]
) -> tuple[Search, ...]:
    """What is searched, checked against the recipe that it is a search around.

    Args:
        words: each like `train.learning_rate=1e-5..1e-2:log`.
        task: the job.
        file: the recipe's file.
        settings: settings over it.

    Raises:
        UsageError: all mistakes at once: unknown fields with the nearest right one, values that a field does not take.
    """
    load_recipe(task, file, settings=settings)
    searches, mistakes = [], []
    for each in words:
        try:
            search = _parse(each)
            for value in search.values if isinstance(search, Options) else (search.low, search.high):
                load_recipe(task, file, settings=[*settings, setting(search.field, value)])
            searches.append(_in_kind(search, task=task, file=file, settings=settings))
        except UsageError as error:
            told = " ".join(error.finding.split())
            mistakes.append(f"--search {each}: {told}")
    fields = [search.field for search in searches]
    mistakes += [f"{field} is searched twice" for field in sorted(set(fields)) if fields.count(field) > 1]
    if mistakes:
        raise UsageError(
            "\n    ".join(mistakes),
            expected="--search FIELD=LOW..HIGH, FIELD=LOW..HIGH:log or FIELD=VALUE,VALUE,...",
            remedy="see docs/recipe.md for every field",
        )
    return tuple(searches)


def setting(field: str, value: Any) -> str:
    """A value of a field as `--set` takes it; a text is YAML already."""
    return f"{field}={value if isinstance(value, str) else yaml.safe_dump(value).splitlines()[0]}"


def _parse(words: str) -> Search:
    field, equals, values = words.partition("=")
    if not (field and equals and values):
        raise UsageError("has not the form FIELD=VALUES")
    if why := next((why for beginning, why in FIXED.items() if field.startswith(beginning)), ""):
        raise UsageError(f"{field} cannot be searched: {why}")
    matched = _RANGE.fullmatch(values)
    return _options(field, values) if matched is None else _range(field, matched)


def _range(field: str, words: re.Match[str]) -> Range:
    low, high, log = _number(words["low"]), _number(words["high"]), words["log"] is not None
    if low >= high:
        raise UsageError(f"{low:g} is not below {high:g}")
    if log and low <= 0:
        raise UsageError(f"a logarithm needs a range above 0, not from {low:g}")
    return Range(field, low, high, log)


def _number(word: str) -> float:
    text = word.strip()
    number = float(str(count(text))) if SHORT.fullmatch(text) else decimal(text)
    if number is None:
        raise UsageError(f"'{word}' is not a number")
    return number


def _options(field: str, words: str) -> Options:
    values = parse_yaml(f"[{words}]", lambda finding: UsageError(f"what is to be tried {finding}"))
    if len(values) < 2:
        raise UsageError("there is nothing to choose from: give two values or more")
    return Options(field, tuple(json.dumps(value) for value in values))


def _in_kind(search: Search, *, task: TaskKind, file: Path | None, settings: Sequence[str]) -> Search:
    """A range with its numbers whole if the field takes no others."""
    if isinstance(search, Options) or not (search.low.is_integer() and search.high.is_integer()):
        return search
    try:
        load_recipe(task, file, settings=[*settings, setting(search.field, search.low + 0.5)])
    except UsageError:
        return search._replace(whole=True)
    return search
