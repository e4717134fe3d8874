"""Words of a command that draws from a model, as its function takes them: those of the sampling loop together."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sfumato.commands.flags.sampling import SamplingFlags

NAMES = {field.name for field in fields(SamplingFlags)}


def as_flags(words: Mapping[str, Any]) -> dict[str, Any]:
    """The same words; an interval may be text, as it stands in files."""
    sampling = {name: word for name, word in words.items() if name in NAMES}
    if isinstance(interval := sampling.get("guidance_interval"), str):
        sampling["guidance_interval"] = tuple(map(float, interval.split(",")))
    rest = {name: word for name, word in words.items() if name not in NAMES}
    return {**rest, "sampling": SamplingFlags(**sampling)} if sampling else rest
