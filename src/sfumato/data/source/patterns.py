"""The files that were found, as patterns with counts: `*/images/*_training.tif (40)`."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from sfumato.data.source.listing import SourceFile

_MOST = 6
"""Patterns that are told; the others are counted."""


def told_files(entries: Sequence[SourceFile], kinds: Sequence[object] | None = None) -> str:
    """Patterns of files with how many have each.

    Args:
        entries: the files.
        kinds: what sorts them; each gets a pattern of its own, where they are few.
    """
    groups: dict[object, list[tuple[str, ...]]] = defaultdict(list)
    for entry, kind in zip(entries, kinds or [None] * len(entries), strict=True):
        groups[kind, len(entry.parts)].append(entry.parts)
    patterns: dict[str, int] = defaultdict(int)
    for paths in groups.values():
        patterns[pattern(paths)] += len(paths)
    if len(patterns) > _MOST and kinds:
        return told_files(entries)
    shown = [f"{name} ({count})" for name, count in sorted(patterns.items())]
    more = [f"{len(shown) - _MOST} more"] if len(shown) > _MOST else []
    return ", ".join([*shown[:_MOST], *more])


def pattern(paths: Sequence[tuple[str, ...]]) -> str:
    """What paths of one depth have in common, with `*` where they differ."""
    return "/".join(_common(sorted(set(names))) for names in zip(*paths, strict=True))


def _common(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    start = common_start(names)
    end = common_start([name[len(start) :][::-1] for name in names])[::-1]
    return f"{_whole_words(start)}*{_whole_words(end[::-1])[::-1]}"


def common_start(names: Sequence[str]) -> str:
    """How all of several names begin."""
    first, last = min(names), max(names)  # what these share, all share
    length = next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:length]


def channels_in(names: Sequence[str]) -> str:
    """The names of the images of a case, with {channel} for what differs in them."""
    if len(names) == 1:
        return names[0]
    start = re.sub(r"[^ _.-]+$", "", common_start(names))
    end = common_start([name[::-1] for name in names])[::-1]
    end = end[re.search(r"[ _.-]|$", end).start() :]  # type: ignore[union-attr]
    return f"{start}{{channel}}{end}"


def _whole_words(text: str) -> str:
    """A beginning without the letters and digits behind its last separator."""
    return re.sub(r"(?:\d+|(?<=[ _.-])[^\W_]+|^[^\W_]{1,2})$", "", text)


def told_folders(files: Sequence[str]) -> str:
    """How many files lie in each folder, as ` in a/img (12), b/img (12)`; empty where that says little."""
    folders = Counter(os.path.dirname(file) for file in files if file.startswith(os.sep))  # noqa: PTH120 - may be many
    if not 1 < len(folders) <= folders.total() / 2:
        return ""
    above = os.path.commonpath(folders)
    shown = [f"{os.path.relpath(folder, above)} ({count})" for folder, count in folders.most_common(_MOST)]
    more = [f"{len(folders) - _MOST} more"] if len(folders) > _MOST else []
    return f" in {', '.join([*shown, *more])}"
