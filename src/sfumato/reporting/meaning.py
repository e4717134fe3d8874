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


def model_heading(name: str, summary: Mapping[str, Any]) -> str:
    """The name of a model with the number of its members M, and of the readers R where there are several.

    Args:
        name: of the model; "" where a table has one model without a name.
        summary: of the evaluation.
    """
    shown, about = name or "mean", summary.get("arms", {}).get(name, {})
    if not summary.get("readers_own") or "members" not in about:
        return shown
    return f"{shown}, M = {_from_to(about, 'members')}, R = {_from_to(summary, 'readers')}"


def _from_to(counts: Mapping[str, Any], name: str) -> str:
    """A count, which may differ between cases; a question mark where a summary of another hand lacks it."""
    most = counts.get(name, "?")
    least = counts.get(f"{name}_least", most)
    return f"{most}" if most == least else f"{least} to {most}"
