"""Training as an iterable: look at each validation, leave when it is good enough, and go on another day."""

import tempfile
from pathlib import Path

from sfumato import Length, Preparation, Training, iter_training, prepare, resume
from sfumato.data.toys.toy import make_toy

SMALL = {"network.channels": 8, "network.multipliers": (1, 2), "network.blocks": 1, "network.attention": ()}

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    make_toy(folder / "scans", cases=30, size=16)
    data = prepare(folder / "scans", out=folder / "dataset", preparation=Preparation(size=16)).folder

    # Any field of a recipe by its dotted name; what is not named is decided on the data (docs/recipe.md).
    changes = {**SMALL, "train.steps": 60, "validate.every_steps": 10, "sample.steps": 4}
    steps = iter_training("segment", data, out=folder / "run", training=Training(changes=changes))
    seen = []
    for validation in steps:
        print(f"step {validation.step}: Dice {validation.scores['dice']:.3f}")
        seen.append(validation.step)
        if validation.step == 20:
            steps.close()  # what is saved stays
    assert seen == [10, 20]

    # Exactly as if it had never stopped; and farther than it was planned.
    run = resume(folder / "run", length=Length(until_steps=80))
    assert run.summary["step"] == 80 and run.model().step <= 80
