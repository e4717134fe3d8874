"""The words of training: those that would do nothing together are refused in words."""

from pathlib import Path

import pytest

from sfumato.errors import UsageError
from sfumato.recipe import Recipe, load_recipe


def told(*settings: str) -> Recipe:
    return load_recipe("segment", settings=["train.steps=10", *settings])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.epochs=5"], r"train\.steps and train\.epochs are given"),
        (["validate.every_steps=5", "validate.every_epochs=5"], "every_steps and every_epochs are given"),
        (
            ["checkpoint.keep_every_images=5", "checkpoint.keep_every_epochs=5"],
            "keep_every_images and keep_every_epochs",
        ),
        (["train.images=5"], r"train\.steps and train\.images are given"),
        (["train.least_steps=5"], r"give train\.minutes too"),
        (["train.minutes=1", "train.least_steps=11"], r"least_steps=11 is more than train\.steps=10"),
        (["train.schedule=onecycle"], r"warm-up of its own; give train\.warmup=0"),
        (["train.schedule=inverse_sqrt"], "belong together"),
        (["train.decay_after=5"], "belong together"),
        (["train.ema_widths=[0.05]"], "pair"),
        (["train.ema_widths=[0.05, 0.05]"], "pair"),
        (["train.ema_widths=[0.05, 0.3]"], r"train\.ema_widths\.1.*0\.25"),
        (["train.ema_widths=[0.05, 0.1]", "train.ema_half_life=5"], r"ema_half_life would do nothing"),
        (["train.ema_widths=[0.05, 0.1]", "train.ema_ramp=null"], r"ema_ramp would do nothing"),
        (["checkpoint.average_every_steps=5"], "nothing without train.ema_widths"),
        (["checkpoint.average_every_epochs=0.5"], "nothing without train.ema_widths"),
        (["checkpoint.average_every_images=5"], "nothing without train.ema_widths"),
        (
            ["train.ema_widths=[0.05, 0.1]", "checkpoint.average_every_images=5", "checkpoint.average_every_steps=5"],
            "average_every_steps and average_every_images are given",
        ),
        (["train.betas=[0.9, 1.0]"], r"train\.betas\.1"),
        (["train.learning_rates={a: -1}"], r"train\.learning_rates\.a"),
    ],
)
def test_words_that_contradict_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        told(*settings)


def test_words_that_agree_are_taken() -> None:
    train = told("train.schedule=onecycle", "train.warmup=0", "train.ema_ramp=null", "train.optimizer=adam").train
    assert (train.schedule, train.ema_ramp, train.optimizer) == ("onecycle", None, "adam")
    settings = ["train.schedule=inverse_sqrt", "train.decay_after=20k", "train.betas=[0.5, 0.6]"]
    train = told(
        *settings, "train.learning_rates={'encoder.*': 0.1, 'stem.*': 0}", "train.ema_widths=[0.1, 0.05]"
    ).train
    assert (train.decay_after, train.betas, train.ema_widths) == (20_000, (0.5, 0.6), (0.1, 0.05))
    assert list(train.learning_rates.items()) == [("encoder.*", 0.1), ("stem.*", 0.0)]


def test_a_length_that_is_set_replaces_that_of_the_file_whole(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("train: {minutes: 15, least_steps: 20, batch: 4}")

    def length(*settings: str) -> tuple[int | None, float | None, int | None]:
        train = load_recipe("segment", tmp_path / "recipe.yaml", settings=settings).train
        assert train.batch == 4
        return train.steps, train.minutes, train.least_steps

    assert length() == (None, 15, 20)
    assert length("train.steps=40k") == (40_000, None, None)
    assert length("train.steps=40k", "train.minutes=3", "train.least_steps=9") == (40_000, 3, 9)
    assert length("train.least_steps=9", "train.steps=null") == (None, 15, 9)
