"""How many images of each class a set lacks: what it has for training, and what is to be made.

Classes are made equal in number, not in information: a hundred images drawn after twenty real ones hold what these
twenty hold. What is there of the other splits plays no part and gets nothing.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

from annotated_types import Ge

BalanceTarget = Annotated[int, Ge(1)] | Literal["max"]
"""So many of each class, or as many as the largest class has."""


class ClassShortage(NamedTuple):
    """One class.

    Attributes:
        label: its name.
        there: images for training.
        wanted: images to be made.
    """

    label: str
    there: int
    wanted: int


def plan_balance(labels: Sequence[str | None], *, to: BalanceTarget = "max") -> tuple[ClassShortage, ...]:
    """What each class needs, in the order of the names; a class that has enough keeps what it has.

    Args:
        labels: the class of every image for training; None for those without one, which count nowhere.
        to: how many each class is to have.
    """
    counts = Counter(label for label in labels if label is not None)
    level = max(counts.values(), default=0) if to == "max" else to
    return tuple(ClassShortage(label, there, max(0, level - there)) for label, there in sorted(counts.items()))
