"""A curriculum goes on where a stage was learnt, and stays where its error rose."""

import json

from sfumato.training.curriculum import STAGES, Curriculum, CurriculumState

STEPS = 400


def walk(error, curriculum: Curriculum | None = None, steps: range = range(STEPS)) -> tuple[Curriculum, list[int]]:
    """The stage of each step of a run whose watched term is `error(step)`."""
    curriculum, stages = curriculum or Curriculum(begins=0.5, watched="jump"), []
    for step in steps:
        curriculum.begin(step / STEPS)
        stages.append(curriculum.stage)
        curriculum.observe(step / STEPS, {"jump": error(step)})
    return curriculum, stages


def jitter(step: int) -> float:
    return 0.01 * ((step * 7919) % 13 - 6)


def test_equal_stages_after_the_plain_half() -> None:
    _, stages = walk(lambda step: 1 + jitter(step))
    assert stages == [0] * 200 + [stage for stage in range(1, STAGES + 1) for _ in range(40)]


def test_from_the_start_where_the_plain_loss_is_learnt() -> None:
    _, stages = walk(jitter, Curriculum(begins=0.0, watched="jump"))
    assert stages == [stage for stage in range(1, STAGES + 1) for _ in range(80)]


def test_a_stage_whose_error_rose_goes_on() -> None:
    """It rises in the second fifth and falls again: that stage lasts for two."""
    _, stages = walk(lambda step: jitter(step) + (1 + step / 40 if 240 <= step < 280 else 1 - step / 400))
    assert stages[200:] == [stage for stage in (1, 2, 2, 3, 4) for _ in range(40)]


def test_what_a_checkpoint_holds_goes_on_as_it_would_have() -> None:
    def error(step: int) -> float:
        return jitter(step) + step / 100

    whole, stages = walk(error)
    for cut in (210, 239, 240, 275, 351):
        before, first = walk(error, steps=range(cut))
        kept = CurriculumState.model_validate(json.loads(json.dumps(before.state.model_dump())))
        after, rest = walk(error, Curriculum(begins=0.5, watched="jump", state=kept), steps=range(cut, STEPS))
        assert first + rest == stages
        assert after.state == whole.state


def test_a_short_run_passes_through_stages_without_steps() -> None:
    curriculum = Curriculum(begins=0.5, watched="jump")
    curriculum.begin(0.99)
    assert curriculum.stage == STAGES
