"""What a person may say about a source beyond its path: the same flags for every verb that reads one."""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from sfumato.commands.flags.numbers import Index
from sfumato.experiment.source import Reading

Switch = Annotated[bool, Parameter(negative="")]
"""A flag without its opposite."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ReadingFlags(Reading):
    """The fields of a reading as flags."""

    join_masks: Switch = False
    fill_outlines: Switch = False
    class_level: Index | None = None
    drop_unpaired: Switch = False
    keep_split: Switch = False
    component: Index | Literal["all", "planes"] | None = None
    fold: Index | None = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SourceFlags(ReadingFlags):
    """The same for verbs whose `--images` is a number of them."""

    images: Annotated[str | None, Parameter(parse=False)] = None


AS_FOUND = SourceFlags()
"""Nothing said: files speak for themselves."""

AS_READ = ReadingFlags()
"""The same for verbs that only read."""
