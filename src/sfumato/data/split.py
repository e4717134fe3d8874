"""Which case is for training, which for validation, which for testing; decided once, and written down.

The cases of one patient or volume, and copies of one picture, form a block that is never divided; every class is
divided in the same proportions; a split that the source brings along is kept. What goes where depends on a seed and
the ids of the cases through a hash, so the order of files, the machine and the process do not matter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sfumato.data.folds import Fold, fold_name
from sfumato.data.manifest import SPLITS, Case
from sfumato.randomness import derive_seed

_Rows = Sequence[int]
"""Cases by their place in the set."""


def split_cases(
    cases: Sequence[Case],
    *,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    together: Iterable[_Rows] = (),
    strata: Sequence[str] | None = None,
) -> list[Case]:
    """Give every case a split.

    Within each stratum the blocks are put in an order that depends on the seed and their ids, not on the order of the
    files, and each goes where most cases are still missing. What rounding leaves is carried to the next stratum, so
    the whole set keeps the fractions too.

    A split that the source brings along is kept; cases of which it says nothing are for training. If that leaves none
    for training, everything is divided afresh; if it lacks only validation or test, that part is taken out of training,
    in the proportion asked for. `split_notes` says so.

    Args:
        cases: the cases, some or all with a split already.
        fractions: shares of train, validation and test.
        seed: another seed, another split.
        together: cases that belong together besides those of one patient or volume: copies of one picture, say.
        strata: what is divided in the same proportions, a word for each case; its label when not given.

    Returns:
        The cases in the same order, each with a split.
    """
    present = _present(cases)
    if "train" not in present:
        cases, present = [replace(case, split=None) for case in cases], set()
    shares = {name: share for name, share in zip(SPLITS, fractions, strict=True) if name not in present}
    if present:  # what is missing comes out of the training part; cases without a split belong to that part
        shares = {"train": fractions[0], **shares}
    blocks = _blocks(cases, together)
    free = [block for block in blocks if all(cases[row].split in (None, "train") for row in block)]
    chosen = _divide(cases, free, shares, seed=seed, strata=strata or _labels(cases))
    for block in blocks:
        splits = sorted({split for row in block if (split := cases[row].split)}, key=SPLITS.index)
        for row in block:  # a case without split goes where its patient is tested, so that no patient is torn here
            chosen.setdefault(row, cases[row].split or (splits[-1] if splits else "train"))
    return [replace(case, split=chosen[row]) for row, case in enumerate(cases)]


def _present(cases: Sequence[Case]) -> set[str]:
    """The splits that the source has; beside others, cases of none are for training."""
    said = {case.split for case in cases}
    return {split or "train" for split in said} if said != {None} else set()


class Folds(NamedTuple):
    """A division for cross-validation.

    Attributes:
        cases: in the same order, each with the split that it has in the chosen fold.
        folds: all folds.
    """

    cases: list[Case]
    folds: tuple[Fold, ...]


def split_into_folds(
    cases: Sequence[Case],
    *,
    count: int,
    fold: int,
    test: float = 0.15,
    seed: int = 0,
    together: Sequence[_Rows] = (),
    strata: Sequence[str] | None = None,
) -> Folds:
    """Hold the test share apart and divide the rest into folds, each of which is validated on once.

    Args:
        cases: the cases; those that the source has for testing stay there.
        count: number of folds.
        fold: which of them is for validation now.
        test: share to hold apart where the source does not.
        seed: another seed, another division.
        together: see `split_cases`.
        strata: see `split_cases`.
    """
    joined = [replace(case, split="train" if case.split == "validation" else case.split) for case in cases]
    held = split_cases(joined, fractions=(1 - test, 0.0, test), seed=seed, together=together, strata=strata)
    free = [block for block in _blocks(held, together) if all(held[row].split != "test" for row in block)]
    shares = {str(number): 1.0 for number in range(count)}
    chosen = _divide(held, free, shares, seed=derive_seed(seed, "folds"), strata=strata or _labels(cases))
    folds = tuple(
        {fold_name(held[row]): "validation" if place == name else "train" for row, place in sorted(chosen.items())}
        for name in shares
    )
    parts = {row: "validation" if place == str(fold) else "train" for row, place in chosen.items()}
    return Folds([replace(case, split=parts.get(row, "test")) for row, case in enumerate(held)], folds)


def as_fold(cases: Sequence[Case]) -> Fold:
    """The one division of a set without folds."""
    return {fold_name(case): case.split for case in cases if case.split in ("train", "validation")}


def _labels(cases: Sequence[Case]) -> list[str]:
    return [case.label or "" for case in cases]


def _blocks(cases: Sequence[Case], together: Iterable[_Rows]) -> list[list[int]]:
    """Rows that must stay together: connected through a patient, a volume or a group."""
    parent = list(range(len(cases)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, case in enumerate(cases):
        for kind, key in (("patient", case.patient), ("volume", case.volume)):
            if key:
                parent[root(row)] = root(first.setdefault((kind, key), row))
    for group in together:
        for row in group:
            parent[root(row)] = root(group[0])
    blocks: dict[int, list[int]] = defaultdict(list)
    for row in range(len(cases)):
        blocks[root(row)].append(row)
    return list(blocks.values())


def _divide(
    cases: Sequence[Case], blocks: Sequence[list[int]], shares: Mapping[str, float], *, seed: int, strata: Sequence[str]
) -> dict[int, str]:
    by_stratum: dict[str, list[list[int]]] = defaultdict(list)
    for block in blocks:
        by_stratum[min(strata[row] for row in block)].append(block)
    total, chosen = sum(shares.values()), dict[int, str]()
    missing = dict.fromkeys(shares, 0.0)
    for _, members in sorted(by_stratum.items()):
        count = sum(map(len, members))
        for name, share in shares.items():
            missing[name] += count * share / total
        keyed = [
            (-len(block), derive_seed(seed, "split", min(cases[row].id for row in block)), block) for block in members
        ]
        for _, _, block in sorted(keyed):
            name = max(missing, key=lambda split: missing[split])
            missing[name] -= len(block)
            chosen.update(dict.fromkeys(block, name))
    return chosen


class _Change(NamedTuple):
    before: str | None
    after: str | None


def split_notes(before: Sequence[Case], after: Sequence[Case]) -> tuple[str, ...]:
    """What `split_cases` did with the splits of the source, in sentences; empty when there were none."""
    present = _present(before)
    if not present:
        return ()
    if "train" not in present:
        return (f"the source has only {' and '.join(sorted(present))} cases: all cases were divided afresh",)
    changes = Counter(_Change(old.split, new.split) for old, new in zip(before, after, strict=True))
    said = {case.split for case in before}
    notes = [f"the split of the source was kept ({', '.join(name for name in SPLITS if name in said)})"]
    if silent := changes[_Change(None, "train")]:
        notes.append(f"cases of which it says nothing are for training: {silent}")
    for name in SPLITS:
        if name not in present:
            taken = sum(count for change, count in changes.items() if change.after == name)
            notes.append(f"it has no cases for {name}: {taken} of those for training became such")
    return tuple(notes)
