import json
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from sfumato.data.folds import SPLITS_NAME, follow, write_splits
from sfumato.data.manifest import Case
from sfumato.data.split import split_cases, split_into_folds, split_notes
from sfumato.errors import UsageError


def cases(count: int, **facts: object) -> list[Case]:
    return [Case(id=f"c{row}", image=f"/data/{row}.png", **facts) for row in range(count)]


def test_a_split_depends_on_ids_and_seed_not_on_order() -> None:
    given = cases(40)
    split = {case.id: case.split for case in split_cases(given)}
    assert {case.id: case.split for case in split_cases(given[::-1])} == split
    assert {case.id: case.split for case in split_cases(given, seed=1)} != split
    assert Counter(split.values()) == {"train": 28, "validation": 6, "test": 6}


def test_each_label_is_divided_alike_and_rare_ones_stay_in_training() -> None:
    given = [replace(case, label="common" if row < 100 else "rare") for row, case in enumerate(cases(101))]
    split = split_cases(given)
    assert Counter(case.split for case in split if case.label == "common") == {
        "train": 70,
        "validation": 15,
        "test": 15,
    }
    assert split[-1].split == "train"


def test_many_small_labels_still_fill_every_split() -> None:
    given = [replace(case, label=str(row // 2)) for row, case in enumerate(cases(40))]
    assert Counter(case.split for case in split_cases(given)) == {"train": 28, "validation": 6, "test": 6}


def test_patients_and_copies_stay_together() -> None:
    given = [replace(case, patient=f"p{row // 3}") for row, case in enumerate(cases(60))]
    split = split_cases(given, together=[(0, 30, 59)])
    by_patient = defaultdict(set)
    for case in split:
        by_patient[case.patient].add(case.split)
    assert all(len(splits) == 1 for splits in by_patient.values())
    assert len({split[row].split for row in (0, 30, 59)}) == 1


def test_the_split_of_the_source_is_kept_and_completed() -> None:
    given = [replace(case, split="test" if row < 10 else "train") for row, case in enumerate(cases(100))]
    split = split_cases(given)
    assert [case.split for case in split[:10]] == ["test"] * 10
    counts = Counter(case.split for case in split[10:])
    assert set(counts) == {"train", "validation"}
    assert counts["validation"] == round(90 * 0.15 / 0.85)
    assert "it has no cases for validation: 16 of those for training became such" in split_notes(given, split)


def test_cases_of_no_split_beside_others_are_for_training() -> None:
    given = [replace(case, split="validation" if row < 4 else None) for row, case in enumerate(cases(20))]
    split = split_cases(given)
    assert [case.split for case in split[:4]] == ["validation"] * 4
    assert {case.split for case in split[4:]} == {"train", "test"}
    told = split_notes(given, split)
    count = Counter(case.split for case in split[4:])
    assert told == (
        "the split of the source was kept (validation)",
        f"cases of which it says nothing are for training: {count['train']}",
        f"it has no cases for test: {count['test']} of those for training became such",
    )


def test_without_a_training_part_all_is_divided_afresh() -> None:
    given = cases(20, split="test")
    split = split_cases(given)
    assert Counter(case.split for case in split) == {"train": 14, "validation": 3, "test": 3}
    assert split_notes(given, split) == ("the source has only test cases: all cases were divided afresh",)


GOLDEN = """
from sfumato.data.manifest import Case
from sfumato.data.folds import SPLITS_NAME, write_splits
from sfumato.data.split import split_cases
cases = [Case(id=f"c{row}", image="", patient=f"p{row // 2}", label=str(row % 3 == 0)) for row in range(24)]
print("".join(case.split[1] for case in split_cases(cases, seed=3, together=[(0, 11)])))
"""


def test_another_machine_divides_alike() -> None:
    done = subprocess.run([sys.executable, "-c", GOLDEN], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "rrrreeaaaarrrrrrrrrreerr"


@st.composite
def sets(draw: st.DrawFn) -> tuple[list[Case], list[tuple[int, ...]]]:
    """Cases of a few patients, volumes and labels, with groups of copies across them."""
    count = draw(st.integers(2, 40))
    words = st.sampled_from([None, *"abcdefgh"])
    given = [
        Case(id=f"c{row}", image="", patient=draw(words), volume=draw(words), label=draw(st.sampled_from("xy")))
        for row in range(count)
    ]
    rows = st.lists(st.integers(0, count - 1), min_size=2, max_size=4).map(tuple)
    return given, draw(st.lists(rows, max_size=5))


def apart(given: Sequence[Case], split: Sequence[Case], together: Sequence[tuple[int, ...]]) -> None:
    """No patient, no volume and no group of copies is in two splits."""
    kept = defaultdict(set)
    for before, after in zip(given, split, strict=True):
        assert after.split in ("train", "validation", "test") and replace(after, split=None) == before
        kept["patient", before.patient].add(after.split)
        kept["volume", before.volume].add(after.split)
    assert all(len(splits) == 1 for (_, name), splits in kept.items() if name)
    assert all(len({split[row].split for row in rows}) == 1 for rows in together)


@settings(max_examples=80, deadline=None)
@drawn(sets(), st.integers(0, 3), st.randoms())
def test_what_belongs_together_is_never_divided(made, seed, random) -> None:
    given, together = made
    split = split_cases(given, seed=seed, together=together)
    apart(given, split, together)
    order = random.sample(range(len(given)), len(given))
    moved = [tuple(order.index(row) for row in rows) for rows in together]
    shuffled = split_cases([given[row] for row in order], seed=seed, together=random.sample(moved, len(moved)))
    assert shuffled == [split[row] for row in order]


@settings(max_examples=40, deadline=None)
@drawn(sets(), st.integers(2, 4))
def test_folds_share_no_patient_and_cover_all_but_the_test(made, count) -> None:
    given, together = made
    divisions = [split_into_folds(given, count=count, fold=fold, together=together) for fold in range(count)]
    for division in divisions:
        apart(given, division.cases, together)
        assert division.folds == divisions[0].folds
    tests = [{row for row, case in enumerate(division.cases) if case.split == "test"} for division in divisions]
    validated = [row for division in divisions for row, case in enumerate(division.cases) if case.split == "validation"]
    assert all(test == tests[0] for test in tests)
    assert sorted(validated) == sorted(set(range(len(given))) - tests[0])


def test_folds_are_written_as_nnunet_reads_them(tmp_path: Path) -> None:
    given = [replace(case, volume=f"v{row // 2}") for row, case in enumerate(cases(20))]
    division = split_into_folds(given, count=3, fold=1, test=0.1)
    write_splits(tmp_path / SPLITS_NAME, division.folds)
    written = json.loads((tmp_path / SPLITS_NAME).read_text())
    test = {case.volume for case in division.cases if case.split == "test"}
    assert len(written) == 3 and len(test) == 1
    for fold in written:
        assert len(fold["train"]) == 6 and len(fold["val"]) == 3
        assert {*fold["train"], *fold["val"]} | test == {f"v{row}" for row in range(10)}
    assert {case.volume for case in division.cases if case.split == "validation"} == set(written[1]["val"])


def test_the_folds_of_a_source_are_followed() -> None:
    folds = ({"v0": "train", "v1": "validation"}, {"v0": "validation", "v1": "train"})
    given = [*(replace(case, volume=f"v{row}") for row, case in enumerate(cases(2))), Case(id="x", image="")]
    assert [case.split for case in follow(given, folds, 1)] == ["validation", "train", None]
    of_patients = [replace(case, volume=None, patient=case.volume) for case in given]
    assert [case.split for case in follow(of_patients, folds, 0)] == ["train", "validation", None]
    with pytest.raises(UsageError, match="no fold 2"):
        follow(given, folds, 2)


def test_masks_without_any_object_are_divided_like_the_others() -> None:
    strata = ["none" if row % 4 else "foreground" for row in range(80)]
    split = split_cases(cases(80), strata=strata)
    held = [word for word, case in zip(strata, split, strict=True) if case.split == "test"]
    assert Counter(held) == {"none": 9, "foreground": 3}
