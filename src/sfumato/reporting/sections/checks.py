"""The section of a checked source: everything that is wrong with it, with pictures, and what it is like."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.channels import read_case
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import count_planes
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.inspect import SEVERITIES, Inspection
from sfumato.data.inspection.meaning import masks_of
from sfumato.data.source import DiscoveredDataset
from sfumato.data.units import counted_cases
from sfumato.errors import DataError
from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Section, Table, Verbatim
from sfumato.reporting.figures import bars, histogram, overlay
from sfumato.reporting.reading import as_bytes, embedded, plotted, spared_part
from sfumato.wording import counted

_EXAMPLES = 12
"""Cases shown, spread evenly over the source."""

THUMBNAILS = 8
"""Files shown of each finding."""

_SIDE = 256
"""Longest side in pixels of a picture of a finding."""

_CLASSES = 12
"""Classes in the chart, the largest first."""


def check_section(
    found: DiscoveredDataset,
    inspection: Inspection,
    fingerprint: Mapping[str, Any],
    *,
    name: str,
    short: Callable[[str], str],
) -> Section:
    """The section of a source.

    Args:
        found: the source.
        inspection: what is wrong with it.
        fingerprint: what it is like.
        name: what to call it.
        short: takes the paths of the source out of a sentence: the page may be passed on.
    """
    counts = [counted(len(inspection.of(severity)), severity) for severity in SEVERITIES]
    return Section(
        title="Check",
        name=name,
        summary=f"{counted_cases(found.cases)} ({found.form}); {', '.join(counts)}",
        headline=(_findings(inspection, short),),
        blocks=(
            _facts(fingerprint),
            *_charts(found, inspection),
            *_examples(found, inspection),
            *(_shown(finding, short) for finding in inspection.findings if finding.files),
            Table(
                title="Recommendations",
                columns=("what follows from the numbers",),
                rows=tuple((text,) for text in fingerprint["recommendations"]),
            ),
            Verbatim("fingerprint.json", json.dumps(fingerprint, indent=1)),
        ),
    )


def _findings(inspection: Inspection, short: Callable[[str], str]) -> Table:
    rows = list[tuple[str, ...]]()
    for finding in inspection.findings:
        count = str(len(finding.files) or "")
        rows.append((finding.severity, finding.code, short(finding.text), count, finding.fix))
    columns = ("", "code", "what was found", "files or planes", "what to do")
    return Table(title="Findings", columns=columns, rows=tuple(rows))


def _facts(fingerprint: Mapping[str, Any]) -> KeyNumbers:
    facts = (
        Fact("Cases", str(fingerprint["cases"]), "Images, or planes of volumes."),
        Fact("Patients", str(fingerprint["patients"] or "not named"), "Cases of one patient stay in one split."),
        Fact("Modality", fingerprint["modality"], f"{fingerprint['modality_reason'].capitalize()}."),
    )
    return KeyNumbers("In short", (*facts, *_about_images(fingerprint), *_about_masks(fingerprint)))


def _about_images(fingerprint: Mapping[str, Any]) -> Iterator[Fact]:
    if fingerprint["sizes"]:
        height, width = fingerprint["sizes"]["median"][:2]
        yield Fact("Median size", f"{width} x {height}", "Width x height in pixels.")


def _about_masks(fingerprint: Mapping[str, Any]) -> Iterator[Fact]:
    masks, disagreement = fingerprint["masks"], fingerprint["disagreement"]
    if masks:
        yield Fact("Masks", str(masks["masks"]), f"Of them {masks['empty']} empty.")
    if masks and masks["components"]:
        yield Fact("Regions in a mask", f"{masks['components']['median']:g}", "Median; what hangs together.")
    if disagreement and disagreement["source"] == "readers":
        text = "Mean over all pairs of readers; masks that seem inverted count as put right."
        yield Fact("Readers' Dice", f"{disagreement['dice']:.3f}", text)


@spared_part
def _charts(found: DiscoveredDataset, inspection: Inspection) -> tuple[Block, ...]:
    """Distributions; those with a single value are left out."""
    pictures = (*_histograms(found, inspection), *_bars_of_classes(found))
    if not pictures:
        return ()
    return (Gallery(title="Distributions", pictures=pictures, size="wide"),)


def _histograms(found: DiscoveredDataset, inspection: Inspection) -> Iterator[Image]:
    images = [fact.image for fact in inspection.facts if fact.image is not None]
    distributions = (
        _Distribution("Height of images", "pixels", [image.size[0] for image in images]),
        _Distribution("Width of images", "pixels", [image.size[1] for image in images]),
        _Distribution("Mean intensity", "stored numbers", [image.stats.mean for image in images]),
        _Distribution("Largest intensity", "stored numbers", [image.stats.high for image in images]),
        _Distribution("Foreground", "share of the mask", _shares(found, inspection)),
    )
    for each in distributions:
        if len(set(each.values)) > 1:
            yield plotted(partial(histogram, each.title, each.values, unit=each.unit), title=each.title)


class _Distribution(NamedTuple):
    """Numbers of all images, and what they are."""

    title: str
    unit: str
    values: Sequence[float]


def _bars_of_classes(found: DiscoveredDataset) -> Iterator[Image]:
    counts = Counter(case.label for case in found.cases if case.label is not None)
    if not counts:
        return
    title = "Classes" if len(counts) <= _CLASSES else f"The largest {_CLASSES} of {len(counts)} classes"
    shown = dict(counts.most_common(_CLASSES))
    yield plotted(partial(bars, title, shown, unit="images"), title=title)


def _shares(found: DiscoveredDataset, inspection: Inspection) -> list[float]:
    if inspection.meaning.rule is None:
        return []
    areas = [inspection.meaning.areas(mask) for mask in masks_of(found, inspection.facts)]
    return [sum(area[1:]) / max(1, sum(area)) for area in areas]


@spared_part
def _examples(found: DiscoveredDataset, inspection: Inspection) -> tuple[Block, ...]:
    whole = [row for row, fact in enumerate(inspection.facts) if fact.image is not None]
    if not whole:
        return ()
    places = np.linspace(0, len(whole) - 1, min(_EXAMPLES, len(whole))).round().astype(int).tolist()
    pictures = tuple(_example(found, inspection, whole[place]) for place in dict.fromkeys(places))
    caption = "With the mask of the first reader filled and outlined." if found.has_masks else ""
    return (Gallery(title="Examples", pictures=pictures, caption=caption),)


def _example(found: DiscoveredDataset, inspection: Inspection, row: int) -> Image:
    case, meaning = found.cases[row], inspection.meaning
    pixels = as_bytes(read_case(case))
    caption = f"{case.id} · {case.label}" if case.label else case.id
    if case.masks and meaning.rule is not None:
        try:
            mask = meaning.apply(read_mask(case.masks[0]), row, 0)
        except DataError:
            return embedded(pixels, f"{caption} · its mask cannot be shown", limit=_SIDE)
        if mask.shape == pixels.shape[:2]:
            pixels = overlay(pixels, mask.astype(np.int64))
    return embedded(pixels, caption, limit=_SIDE)


def _shown(finding: Finding, short: Callable[[str], str]) -> Gallery:
    """Thumbnails of the files that a finding is about."""
    pictures = tuple(_thumbnail(file) for file in finding.files[:THUMBNAILS])
    title = f"{finding.severity.capitalize()} {finding.code}: {short(finding.text).splitlines()[0]}"
    caption = f"What to do: {finding.fix}."
    left_out = len(finding.files) - THUMBNAILS
    if left_out > 0:
        caption += f" {counted(left_out, 'more is', 'more are')} not shown."
    return Gallery(title=title, pictures=pictures, caption=caption)


def _plane(target: Locator) -> str:
    """The locator of what is shown: of a volume as a whole, its middle plane."""
    if target.member or not is_volume(target.path):
        return str(target)
    header = read_header(target.path)
    if 1 in header.shape[:3]:
        return str(target)
    return f"{target.path}::axial/{count_planes(header, 'axial') // 2}"


def _thumbnail(locator: str) -> Image:
    target = Locator.parse(locator)
    caption = f"{target.path.name} {target.member}".strip()
    try:
        return embedded(as_bytes(read_image(_plane(target))), caption, limit=_SIDE)
    except Exception:  # of what a finding is about anything may be wrong
        return Image(light="", caption=f"{caption} (cannot be shown)", width=0, height=0)
