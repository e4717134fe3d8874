"""The order of the data is a pure function of (seed, step)."""

from itertools import chain

import pytest

from sfumato.errors import DataError, UsageError
from sfumato.training.data_order import Batch, DataOrder

STREAM = DataOrder(tuple(range(100, 123)), batch=10, seed=3)


def rows_of(batches: list[Batch]) -> list[int]:
    return [row for batch in batches for row in batch.rows]


def pairs_of(batches: list[Batch]) -> list[tuple[int, int]]:
    return [pair for batch in batches for pair in zip(batch.slots, batch.rows, strict=True)]


def test_every_row_comes_once_in_an_epoch_across_batches():
    order = list(chain.from_iterable(rows_of(STREAM.batch_at(step)) for step in range(23)))
    epochs = [order[start : start + 23] for start in range(0, 230, 23)]
    assert all(sorted(epoch) == list(STREAM.rows) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 10


def test_a_batch_larger_than_the_data_still_covers_each_epoch():
    order = rows_of(DataOrder((4, 5, 6), batch=9, seed=0).batch_at(7))
    assert [sorted(order[start : start + 3]) for start in (0, 3, 6)] == [[4, 5, 6]] * 3


@pytest.mark.parametrize("world", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_global_batch_does_not_depend_on_processes_and_pieces(world, parts):
    for step in (0, 2, 17):
        shares = [STREAM.batch_at(step, rank=rank, world=world, parts=parts) for rank in range(world)]
        assert sorted(chain.from_iterable(map(pairs_of, shares))) == pairs_of(STREAM.batch_at(step))


def test_pieces_are_even_and_never_empty():
    sizes = [len(batch.rows) for batch in STREAM.batch_at(0, parts=4)]
    assert sum(sizes) == 10
    assert max(sizes) - min(sizes) <= 1
    assert [len(batch.rows) for batch in STREAM.batch_at(0, world=5, parts=4)] == [1, 1]


def test_a_step_depends_on_nothing_asked_before():
    alone = DataOrder(STREAM.rows, batch=10, seed=3).batch_at(41)
    for step in (90, 3, 41, 0):
        STREAM.batch_at(step)
    assert STREAM.batch_at(41) == alone


def test_seeds_give_other_orders():
    assert DataOrder(STREAM.rows, batch=10, seed=4).batch_at(0) != STREAM.batch_at(0)


def test_an_empty_split_and_an_empty_batch_are_refused():
    with pytest.raises(DataError, match="empty"):
        DataOrder((), batch=1, seed=0)
    with pytest.raises(UsageError, match="batch of 0"):
        DataOrder((1,), batch=0, seed=0)
