"""Where a verdict ends: at a model that is no better than one mask for every image. Exit code 5, and what was found.

Where the cases do not tell whether it is better, there is no verdict either, but no fault of the model: exit code 0.
"""

from typing import Any

from sfumato.errors import ModelError
from sfumato.tasks.constant_mask import BesideConstant


def refuse_constant(found: BesideConstant | None, *, whom: str, result: Any) -> None:
    """Nothing where the model is better, where the cases do not tell, or where nobody looked.

    Args:
        found: the model beside the best constant mask.
        whom: how to call it.
        result: what the command found out nevertheless, for `--json`.

    Raises:
        ModelError: it is no better: nothing else is to be concluded.
    """
    if found is None or found.verdict != "no better":
        return
    refusal = ModelError(
        found.sentence(whom),
        expected="a model that reads images, before anything is said about how it does",
        remedy="train it longer, or on more cases; sfumato report RUN shows how its validation went",
        code="SCORE-040",
    )
    refusal.result = result
    raise refusal
