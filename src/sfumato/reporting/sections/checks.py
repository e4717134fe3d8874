"""The section of a checked source: everything that is wrong with it, with pictures, and what it is like."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sfumato.data.channels import read_case
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import count_planes
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.inspect import SEVERITIES, Inspection
from sfumato.data.inspection.meaning import masks_of
from sfumato.data.source import Found
from sfumato.data.units import counted_cases
from sfumato.errors import DataError
from sfumato.reporting.content import Block, Fact, Gallery, Image, KeyNumbers, Section, Table, Verbatim
from sfumato.reporting.figures import INK, LIGHT_INK, bars, histogram, overlay
from sfumato.reporting.reading import address, as_bytes, embedded, spared_part
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
    found: Found, inspection: Inspection, fingerprint: Mapping[str, Any], *, name: str, short: Callable[[str], str]
) -> Section:
    """The section of a source.

    Args:
        found: the source.
        inspection: what is wrong with it.
        fingerprint: what it is like.
        name: what to call it.
        short: takes the paths of the source out of a sentence: the page may be passed on.
    """
    counts = ", ".join(counted(len(inspection.of(severity)), severity) for severity in SEVERITIES)
    return Section(
        title="Check",
        name=name,
        summary=f"{counted_cases(found.cases)} ({found.form}); {counts}",
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
    rows = tuple(
        (finding.severity, finding.code, short(finding.text), str(len(finding.files) or ""), finding.fix)
        for finding in inspection.findings
    )
    return Table(title="Findings", columns=("", "code", "what was found", "files or planes", "what to do"), rows=rows)


def _facts(fingerprint: Mapping[str, Any]) -> KeyNumbers:
    sizes, masks, disagreement = fingerprint["sizes"], fingerprint["masks"], fingerprint["disagreement"]
    facts = [
        Fact("Cases", str(fingerprint["cases"]), "Images, or planes of volumes."),
        Fact("Patients", str(fingerprint["patients"] or "not named"), "Cases of one patient stay in one split."),
        Fact("Modality", fingerprint["modality"], f"{fingerprint['modality_reason'].capitalize()}."),
    ]
    if sizes:
        facts.append(Fact("Median size", f"{sizes['median'][1]} x {sizes['median'][0]}", "Width x height in pixels."))
    if masks:
        facts.append(Fact("Masks", str(masks["masks"]), f"Of them {masks['empty']} empty."))
    if masks and masks["components"]:
        facts.append(Fact("Regions in a mask", f"{masks['components']['median']:g}", "Median; what hangs together."))
    if disagreement and disagreement["source"] == "readers":
        text = "Mean over all pairs of readers; masks that seem inverted count as put right."
        facts.append(Fact("Readers' Dice", f"{disagreement['dice']:.3f}", text))
    return KeyNumbers("In short", tuple(facts))


@spared_part
def _charts(found: Found, inspection: Inspection) -> tuple[Block, ...]:
    """Distributions; those with a single value are left out."""
    images = [fact.image for fact in inspection.facts if fact.image is not None]
    values: dict[str, tuple[str, list[float]]] = {
        "Height of images": ("pixels", [image.size[0] for image in images]),
        "Width of images": ("pixels", [image.size[1] for image in images]),
        "Mean intensity": ("stored numbers", [image.stats.mean for image in images]),
        "Largest intensity": ("stored numbers", [image.stats.high for image in images]),
        "Foreground": ("share of the mask", _shares(found, inspection)),
    }
    pictures = []
    for title, (unit, numbers) in values.items():
        if len(set(numbers)) > 1:
            light, dark = (histogram(title, numbers, unit=unit, ink=ink) for ink in (INK, LIGHT_INK))
            pictures.append(_chart(title, light, dark))
    if counts := Counter(case.label for case in found.cases if case.label is not None):
        title = "Classes" if len(counts) <= _CLASSES else f"The largest {_CLASSES} of {len(counts)} classes"
        shown = dict(counts.most_common(_CLASSES))
        light, dark = (bars(title, shown, unit="images", ink=ink) for ink in (INK, LIGHT_INK))
        pictures.append(_chart(title, light, dark))
    return (Gallery(title="Distributions", pictures=tuple(pictures), size="wide"),) if pictures else ()


def _chart(title: str, light: bytes, dark: bytes) -> Image:
    return Image(light=address(light), dark=address(dark), caption="", title=title, width=810, height=495)


def _shares(found: Found, inspection: Inspection) -> list[float]:
    if inspection.meaning.rule is None:
        return []
    areas = [inspection.meaning.areas(mask) for mask in masks_of(found, inspection.facts)]
    return [sum(area[1:]) / max(1, sum(area)) for area in areas]


@spared_part
def _examples(found: Found, inspection: Inspection) -> tuple[Block, ...]:
    whole = [row for row, fact in enumerate(inspection.facts) if fact.image is not None]
    places = np.linspace(0, len(whole) - 1, min(_EXAMPLES, len(whole))).round().astype(int).tolist()
    pictures = tuple(_example(found, inspection, whole[place]) for place in dict.fromkeys(places))
    caption = "With the mask of the first reader filled and outlined." if found.has_masks else ""
    return (Gallery(title="Examples", pictures=pictures, caption=caption),) if pictures else ()


def _example(found: Found, inspection: Inspection, row: int) -> Image:
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
    left_out = len(finding.files) - THUMBNAILS
    more = f" {counted(left_out, 'more is', 'more are')} not shown." if left_out > 0 else ""
    title = f"{finding.severity.capitalize()} {finding.code}: {short(finding.text).splitlines()[0]}"
    return Gallery(title=title, pictures=pictures, caption=f"What to do: {finding.fix}.{more}")


def _plane(target: Locator) -> str:
    """The locator of what is shown: of a volume as a whole, its middle plane."""
    if target.member or not is_volume(target.path) or 1 in read_header(target.path).shape[:3]:
        return str(target)
    return f"{target.path}::axial/{count_planes(read_header(target.path), 'axial') // 2}"


def _thumbnail(locator: str) -> Image:
    target = Locator.parse(locator)
    caption = f"{target.path.name} {target.member}".strip()
    try:
        return embedded(as_bytes(read_image(_plane(target))), caption, limit=_SIDE)
    except Exception:  # of what a finding is about anything may be wrong
        return Image(light="", caption=f"{caption} (cannot be shown)", width=0, height=0)
