"""The cases of a source, read as a recipe says: what `check` and every verb that is given a source begin with."""

from dataclasses import replace
from pathlib import Path

from sfumato.builder.data import build_hints
from sfumato.data.source import Found, Hints, find_cases
from sfumato.errors import DataError, collected, raise_together
from sfumato.progress import say
from sfumato.recipe import Recipe
from sfumato.wording import counted


def find(source: Path, recipe: Recipe) -> Found:
    """The cases of a source, read as a recipe says.

    Raises:
        DataError: there is something wrong with them.
    """
    found = find_with_problems(source, recipe)
    raise_together(found.problems)
    return found


def find_with_problems(source: Path, recipe: Recipe) -> Found:
    """As `find`, for who tells what is wrong with the source (`Found.problems`) together with its files."""
    return _found(source, recipe, build_hints(recipe.data))


def find_to_read(source: Path, recipe: Recipe) -> Found:
    """As `find`, for who reads every file: where some files have no partner, that is a problem among others.

    Those that have one are read, so that all that is wrong is told at once. Where most have none, something else is
    wrong, and nothing is read.
    """
    hints = build_hints(recipe.data)
    try:
        return _found(source, recipe, hints)
    except DataError as error:
        early = error
    problems = list[DataError]()
    with collected(problems):
        found = _found(source, recipe, replace(hints, drop_unpaired=True))
    if problems or not 0 < len(found.unpaired) < len(found.cases):
        raise early
    say(f"{counted(len(found.unpaired), 'file has', 'files have')} no partner: the others are read to tell all at once")
    return found._replace(problems=(early, *found.problems))


def _found(source: Path, recipe: Recipe, hints: Hints) -> Found:
    masks = recipe.data.source.masks_folder
    found = find_cases(str(source), masks=None if masks is None else Path(masks), hints=hints)
    if found.outside:
        say(f"paths of the table lead out of its folder: {'; '.join(found.outside)}")
    return found
