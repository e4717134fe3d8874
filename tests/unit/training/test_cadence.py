"""When something is due: counted by the step's number alone, or by a clock or a share that goes on."""

import pytest

from sfumato.training.cadence import Clock, Every, Shares
from sfumato.training.loop import Progress


def told(step: int, *, seconds: float = 0.0, fraction: float = 0.0) -> Progress:
    return Progress(step, 8 * step, seconds, fraction, {}, 0.0, 0.0)


@pytest.mark.parametrize(
    ("images", "steps"), [(24, [3, 6, 9]), (20, [3, 5, 8, 10]), (8, list(range(1, 11))), (3, list(range(1, 11)))]
)
def test_a_count_is_due_where_a_multiple_is_passed_whatever_was_asked_before(images: int, steps: list[int]) -> None:
    every = Every(images, batch=8)
    assert [step for step in range(1, 11) if every.due(told(step))] == steps
    assert [step for step in (10, 4, 3) if every.at(step)] == [step for step in (10, 4, 3) if step in steps]


def test_a_clock_looks_back_at_the_last_time_it_was_due() -> None:
    clock = Clock(minutes=1.0, since=30.0)
    assert [seconds for seconds in (60, 89, 91, 120, 150, 152, 400) if clock.due(told(1, seconds=seconds))] == [
        91,
        152,
        400,
    ]


def test_shares_that_were_passed_before_are_behind() -> None:
    shares = Shares(times=4, passed=1)
    assert [done for done in (0.3, 0.5, 0.6, 0.99, 1.0) if shares.due(told(1, fraction=done))] == [0.5, 0.99, 1.0]
