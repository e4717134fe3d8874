"""Which images are compared: equally many, disjoint, in the right shares; what cannot be compared is said."""

import numpy as np

from sfumato.evaluation.images.draws import DRAWS, Sets, plan_groups, proportions_differ
from sfumato.metrics.table import MATCHED, POOLED

REAL = ("a",) * 60 + ("b",) * 40


def test_sides_are_equal_and_real_halves_disjoint():
    planned = plan_groups(Sets(REAL, ("a",) * 30 + ("b",) * 20, ("a",) * 100), seed=0)
    assert [group.name for group in planned.groups] == [POOLED, "a", "b"] and planned.notes == ()
    assert [group.size for group in planned.groups] == [50, 30, 20]
    for group in planned.groups:
        assert len(group.draws) == DRAWS
        for draw in group.draws:
            assert not set(draw.reference) & set(draw.other)
            assert len(draw.reference) == len(draw.other) == len(draw.generated) == len(set(draw.generated))
    assert {len(draw.training) for draw in planned.groups[2].draws} == {0}


def test_matched_classes_have_the_shares_of_the_samples():
    generated = ("a",) * 15 + ("b",) * 45
    planned = plan_groups(Sets(REAL, generated), seed=0)
    matched = {group.name: group for group in planned.groups}[MATCHED]
    for draw in matched.draws:
        for rows in (draw.reference, draw.other):
            assert (np.asarray(REAL)[rows] == "b").mean() == 0.75 or matched.size % 4
        assert abs((np.asarray(generated)[draw.generated] == "b").mean() - 0.75) < 0.02
    assert matched.size == 20 + 6  # half of 40 real images of b, and a in proportion
    assert proportions_differ(REAL, generated) and not proportions_differ(REAL, REAL)


def test_what_cannot_be_compared_is_said():
    planned = plan_groups(Sets(REAL, ("a",) * 30), seed=0)
    assert planned.notes == ("classes of the real images that the samples lack: b",)
    assert [group.name for group in planned.groups] == [POOLED, MATCHED, "a"]
    few = plan_groups(Sets(REAL, ("a",) * 30 + ("b",) * 3 + ("c",) * 9), seed=0)
    assert few.notes == (
        "classes of the samples that the real images lack: c",
        "b: 3 generated and 40 real images are too few to be compared",
    )
    bare = plan_groups(Sets(REAL, ("",) * 30), seed=0)
    assert [group.name for group in bare.groups] == [POOLED]
    assert bare.notes == ("the samples have no classes: only the whole sets are compared",)
    assert [group.name for group in plan_groups(Sets(("",) * 50, ("",) * 30), seed=0).groups] == [POOLED]


def test_the_same_seed_draws_the_same():
    first, second, other = (plan_groups(Sets(REAL, REAL), seed=seed).groups[0].draws[0] for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first.reference, other.reference)
