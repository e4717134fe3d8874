"""Trees of known patients put together at random from what people do: nobody lies in two splits unseen."""

from collections import defaultdict
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from sfumato.data.formats.locator import Locator
from sfumato.data.source import DiscoveredDataset, find_cases
from sfumato.data.split import split_cases
from sfumato.errors import DataError

TREES = 64

PEOPLE = (
    "sub-{p:02}",
    "patient{p:03}",
    "P{p:04}",
    "case_{p}",
    "{p:03}",
    "LUNG-{p:04}",
    "TCGA_CS_{p:04}",
    "xy{p:02}",
    "S-14-{p:05}",
)
VISITS = ("", "ses-{v}", "visit{v}", "v{v}", "tp{v}", "2019{v:02}01", "week{v}")
VIEWS = (("",), ("L", "R"), ("left", "right"), ("OD", "OS"), ("t1", "t2", "flair"), ("40", "100", "200"),
         ("40x", "100x"), ("LEFT_CC", "LEFT_MLO", "RIGHT_CC"), ("axial", "coronal"))  # fmt: skip
PARTS = ("", "slice{n:03}", "img{n}", "frame_{n:02}", "{n}", "{n:03}", "z{n:02}")
ABOVE = ((), ("benign", "malignant"), ("fold0", "fold1"), ("Center_01", "Center_02"), ("batch1", "batch2", "batch3"))
SEEN = ("nobody said whose", "stand alone")
"""How a line says that images are of nobody known."""


class Tree(NamedTuple):
    """The person of each file, and how the tree was put together."""

    truth: dict[str, str]
    told: str


def tree(seed: int) -> Tree:
    """Files of some people with several images each, told apart by folders, by names or by both."""
    random = Random(seed)
    who, visit, views, part = (random.choice(words) for words in (PEOPLE, VISITS, VIEWS, PARTS))
    above, mark, nested = random.choice(ABOVE), random.choice("_-_"), random.choice(("", "who", "visit", "view"))
    by_person = above[:1] not in (("fold0",), ("batch1",)) or random.random() < 0.5  # one person is in one class
    alone, truth = nested in ("who", "visit") and random.random() < 0.4, dict[str, str]()
    for person in range(1, random.randint(5, 8)):
        for number in range(random.choice((1, 2, 3)) if visit else 1):
            for view in views:
                for count in range(1, random.randint(2, 4) if part else 2):
                    seen = visit.format(v=number + 1)
                    words = [who.format(p=person * 7), seen, view, part.format(n=count)]
                    folders = [above[(person if by_person else person + count) % len(above)]] if above else []
                    match nested:
                        case "who":
                            folders.append(words[0])
                        case "visit":
                            folders += [words[0], seen]
                        case "view":
                            folders.append(view)
                    name = mark.join(filter(None, words[1 if alone else 0 :])) or "image"
                    truth["/".join((*filter(None, folders), f"{name}.png"))] = words[0]
    return Tree(truth, f"{seed}: {who}, {visit}, {views}, {part}, {above} {by_person}, '{mark}', in {nested} {alone}")


def build(folder: Path, made: Tree) -> Path:
    for name in made.truth:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def torn(found: DiscoveredDataset, folder: Path, truth: dict[str, str]) -> set[str]:
    """The people who lie in several splits."""
    splits = defaultdict[str, set[str | None]](set)
    for case in split_cases(found.cases, fractions=(0.4, 0.3, 0.3)):
        splits[truth[Locator.parse(case.image).path.relative_to(folder).as_posix()]].add(case.split)
    return {person for person, places in splits.items() if len(places) > 1}


def test_nobody_lies_in_two_splits_unless_a_line_says_that_he_is_not_known(tmp_path: Path) -> None:
    unknown = list[str]()
    for seed in range(TREES):
        made = tree(seed)
        folder = build(tmp_path / str(seed), made)
        try:
            found = find_cases(folder)
        except DataError as error:
            unknown.append(f"{made.told}: {error.finding[:200]}")
            continue
        if found.problems or any(words in note for note in found.notes for words in SEEN):
            unknown.append(f"{made.told}: {found.notes}")
            continue
        assert not torn(found, folder, made.truth), (made.told, found.notes)
    assert len(unknown) <= TREES // 4, "\n".join(unknown)


@pytest.mark.parametrize("seed", range(3))
def test_trees_differ_and_are_the_same_again(seed: int) -> None:
    assert tree(seed) == tree(seed) != tree(seed + 3)
