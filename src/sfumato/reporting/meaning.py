"""What each number is called and what it means, in one sentence, as `metrics.table` says."""

from collections.abc import Mapping
from typing import Any

from sfumato.metrics.table import METRIC_TABLE
from sfumato.metrics.table import heading as heading


def meaning(name: str) -> str:
    """The sentence for a metric, or nothing for a name that is not known."""
    known = METRIC_TABLE.get(name.lower())
    return "" if known is None else known.meaning


def titled(metric: str, summary: Mapping[str, Any]) -> str:
    """The name of a score with its unit.

    Args:
        metric: its name.
        summary: of the evaluation, which knows the units; those that it does not know are left out.
    """
    known, length, volume = METRIC_TABLE.get(metric), summary.get("length", ""), summary.get("volume", "")
    if known is not None and known.within and length:
        return f"{heading(metric)} at {summary['tolerance']:g} {length}"
    unit = {"length": length, "volume": volume}.get("" if known is None else known.unit, "")
    return f"{heading(metric)} ({unit})" if unit else heading(metric)
