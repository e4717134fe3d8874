"""`summary.json` of a folder that a verb has written, now or an earlier time: what the verb says in the end."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sfumato.plain import ours, read_object, shaped


class _Summary(BaseModel):
    """What verbs say of it; the rest is handed on as it is."""

    model_config = ConfigDict(extra="allow")

    reading: list[str] = []
    review_first: list[str] = []


def read_summary(folder: Path) -> dict[str, Any]:
    """The content of `summary.json`.

    Raises:
        DataError: it is damaged.
    """
    file = folder / "summary.json"
    return shaped(_Summary.model_validate, read_object(file, ours(file)), ours(file)).model_dump(exclude_unset=True)
