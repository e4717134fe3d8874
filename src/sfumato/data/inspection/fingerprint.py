"""The fingerprint of a set: what it is like in numbers, from which a model is planned.

`fingerprint.json` has these keys; what a set does not have is null or empty.

    cases, volumes, patients          how many; volumes and patients 0 where none is known
    splits                            cases of each split of the source, "" for those without
    sizes                             min, median, max as [height, width], and histogram {"HxW": cases}
    dtypes                            images of each kind of number
    channels                          images of each number of channels
    colour                            share of the images whose channels differ
    spacing                           min, median, max in millimetres between pixels
    modality                          ct, mr, xray, photo ... or unknown, and modality_reason
    intensity                         low, high: of all numbers; inner_low, inner_high: medians over the images of the
                                      percentiles 0.5 and 99.5; mean, std: medians of theirs
    classes                           images of each class; imbalance = largest / smallest
    mask_classes                      for each class of pixels its share of all pixels and of the masks that have it
    masks                             readers: masks per image; masks: all of them; empty; measured: how many of them
                                      components, and the outlines below, were measured on (check: all; prepare:
                                      about 200, spread over the set); components: median and max;
                                      rule: what stored values mean; rule_values, rule_threshold
    disagreement                      dice: mean over images and pairs of readers; pixels: median number of pixels on
                                      which two readers differ, or, with one reader, on the outline of the objects;
                                      source: "readers" or "outline"; some_empty: share of the images where one reader,
                                      but not all, found nothing
    duplicates                        exact, near: groups; exact_cases, near_cases: cases in them
    unreadable                        cases with a file that cannot be read
    recommendations                   sentences
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.copies import Copies, find_copies
from sfumato.data.facts import CaseFacts, ImageFacts
from sfumato.data.inspection.meaning import LabelMapping, MeasuredMask, agreements_of, masks_of, read_meaning
from sfumato.data.mask import class_names
from sfumato.data.source import Found

AIR = -500.0
"""Numbers below are found in CT (air is -1000 Hounsfield units) and hardly anywhere else."""

PHOTO = 0.5
"""With colours in more than this share of 8-bit images, a set is taken for photographs."""

_MODALITIES = {"CT": "ct", "MR": "mr", "MRI": "mr", "CR": "xray", "DX": "xray", "MG": "xray", "US": "ultrasound"}
"""Our words for those of DICOM and nnU-Net."""


class Guess(NamedTuple):
    """What made the images, and how one knows."""

    modality: str
    reason: str


def fingerprint(
    found: Found, facts: Sequence[CaseFacts], *, copies: Copies | None = None, as_stored: bool = False
) -> dict[str, Any]:
    """The fingerprint of a source as plain JSON; its keys are explained at the top of this module.

    Args:
        found: the source.
        facts: of its cases, in their order.
        copies: if they are known already.
        as_stored: of masks that seem inverted, tell what they show as they are, not what they were meant to show.
    """
    images = [fact.image for fact in facts if fact.image is not None]
    copies = find_copies(found.cases, facts) if copies is None else copies
    guess = modality_of(found, facts)
    entry = {
        "cases": len(found.cases),
        "volumes": len({case.volume for case in found.cases} - {None}),
        "patients": len({case.patient for case in found.cases} - {None}) if found.patients is None else found.patients,
        "splits": dict(Counter(case.split or "" for case in found.cases)),
        **_of_images(images),
        "modality": guess.modality,
        "modality_reason": guess.reason,
        **_of_classes(found),
        **_of_masks(found, facts, as_stored=as_stored),
        "duplicates": _of_copies(copies),
        "unreadable": sum(bool(fact.problems) for fact in facts),
    }
    return {**entry, "recommendations": list(_recommendations(entry))}


def modality_of(found: Found, facts: Sequence[CaseFacts]) -> Guess:
    """What made the images: as the source says, else guessed."""
    return Guess(_word(found.modality), "the source says so") if found.modality else guess_modality(facts)


def guess_modality(facts: Sequence[CaseFacts]) -> Guess:
    """What made the images, by their numbers alone: CT or photographs; anything else is unknown."""
    images = [fact.image for fact in facts if fact.image is not None]
    signed = [image for image in images if np.dtype(image.dtype).kind in "if" and image.channels == 1]
    low = [image for image in signed if image.stats.inner_low < AIR and image.stats.high <= 32767]
    if images and len(low) > len(images) / 2 and all(_whole(image) for image in low):
        return Guess("ct", f"{len(low)} of {len(images)} images reach below {AIR:g}, as Hounsfield units do")
    coloured = sum(image.coloured and image.dtype == "uint8" for image in images)
    if images and coloured > PHOTO * len(images):
        return Guess("photo", f"{coloured} of {len(images)} images are in colour with 8 bit")
    return Guess("unknown", "the numbers do not tell; the source does not say")


def _whole(image: ImageFacts) -> bool:
    return image.stats.low == round(image.stats.low) and image.stats.high == round(image.stats.high)


def _word(modality: str) -> str:
    return _MODALITIES.get(modality.upper(), modality.lower())


def _of_images(images: Sequence[ImageFacts]) -> dict[str, Any]:
    if not images:
        none = dict.fromkeys(("sizes", "dtypes", "channels", "spacing", "intensity"))
        return {**none, "colour": 0.0}
    sizes = np.array([image.size for image in images])
    counts = Counter(f"{height}x{width}" for height, width in sizes.tolist())
    steps = [step for image in images for step in image.spacing or ()]
    return {
        "sizes": {
            "min": sizes.min(axis=0).tolist(),
            "median": np.median(sizes, axis=0).round().astype(int).tolist(),
            "max": sizes.max(axis=0).tolist(),
            "histogram": dict(counts.most_common()),
        },
        "dtypes": dict(Counter(image.dtype for image in images)),
        "channels": dict(Counter(str(image.channels) for image in images)),
        "colour": sum(image.coloured for image in images) / len(images),
        "spacing": {"min": min(steps), "median": median(steps), "max": max(steps)} if steps else None,
        "intensity": {
            "low": min(image.stats.low for image in images),
            "high": max(image.stats.high for image in images),
            **{
                name: median(getattr(image.stats, name) for image in images)
                for name in ("inner_low", "inner_high", "mean", "std")
            },
        },
    }


def _of_classes(found: Found) -> dict[str, Any]:
    counts = Counter(case.label for case in found.cases if case.label is not None)
    named = {name: counts[name] for name in found.classes}
    balance = max(counts.values()) / min(counts.values()) if counts else None
    return {"classes": named, "imbalance": balance}


def _of_masks(found: Found, facts: Sequence[CaseFacts], *, as_stored: bool) -> dict[str, Any]:
    masks = masks_of(found, facts)
    if not masks:
        return {"mask_classes": {}, "masks": None, "disagreement": None}
    meaning = read_meaning(found, masks)
    if as_stored:
        meaning = meaning._replace(inverted=frozenset())
    components = [count for mask in masks if (count := _components(mask, meaning)) is not None]
    areas = np.array([meaning.areas(mask) for mask in masks], np.int64) if meaning.rule else np.zeros((0, 0), np.int64)
    return {
        "mask_classes": {
            name: {"share": float(share), "in_masks": float(present)}
            for name, share, present in zip(
                _names(found, meaning), areas.sum(axis=0) / max(1, areas.sum()), (areas > 0).mean(axis=0), strict=True
            )
        }
        if meaning.rule
        else {},
        "masks": {
            "readers": max(len(case.masks) for case in found.cases),
            "masks": len(masks),
            "empty": int((areas[:, 1:].sum(axis=1) == 0).sum()),
            "measured": len(components),
            "components": {"median": median(components), "max": max(components)} if components else None,
            "rule": meaning.rule.text if meaning.rule else None,
            "rule_values": list(meaning.rule.values) if meaning.rule else None,
            "rule_threshold": meaning.rule.threshold if meaning.rule else None,
        },
        "disagreement": _disagreement(facts, meaning),
    }


def _names(found: Found, meaning: LabelMapping) -> list[str]:
    """Names of the classes of pixels, background first; masks of differing habits have no one rule."""
    if meaning.rule:
        return list(class_names(meaning.rule, found.mask_names))
    if meaning.classes == 2:
        return ["background", "foreground"]
    return ["background", *(f"class {label}" for label in range(1, meaning.classes))]


def _components(mask: MeasuredMask, meaning: LabelMapping) -> int | None:
    return mask.facts.gaps if (mask.row, mask.reader) in meaning.inverted else mask.facts.components


def _disagreement(facts: Sequence[CaseFacts], meaning: LabelMapping) -> dict[str, Any]:
    agreements = agreements_of(facts, meaning)
    if not agreements:
        outlines = [mask.outline for fact in facts for mask in fact.masks if mask is not None and mask.outline]
        pixels = median(outlines) if outlines else 0
        return {"dice": None, "pixels": pixels, "some_empty": None, "source": "outline"}
    return {
        "dice": float(np.mean([agreement.dice for agreement in agreements])),
        "pixels": median(agreement.mean_differing for agreement in agreements),
        "some_empty": float(np.mean([agreement.is_partly_empty for agreement in agreements])),
        "source": "readers",
    }


def _of_copies(copies: Copies) -> dict[str, int]:
    return {
        "exact": len(copies.exact),
        "exact_cases": sum(map(len, copies.exact)),
        "near": len(copies.near),
        "near_cases": sum(map(len, copies.near)),
    }


def _recommendations(entry: Mapping[str, Any]) -> Iterator[str]:
    """What follows from the numbers, in sentences."""
    if sizes := entry["sizes"]:
        height, width = sizes["median"]
        side = min(256, 2 ** round(math.log2(max(16, (height * width) ** 0.5))))
        yield f"Train at {side} x {side}: the median image is {width} x {height}."
        if len(sizes["histogram"]) > 1 and sizes["max"][0] * sizes["min"][1] != sizes["max"][1] * sizes["min"][0]:
            yield "Keep the aspect (--keep-aspect): the images have several shapes."
    if entry["modality"] == "ct":
        yield "Choose a window in Hounsfield units for what is to be seen, e.g. -1000,400 for lungs."
    if not entry["patients"] and entry["cases"] > 1:
        yield "No patients are named: if one patient has several images, say so with --group-by."
    if entry["imbalance"] and entry["imbalance"] >= 2:
        yield f"The largest class has {entry['imbalance']:.3g} times the images of the smallest: generate the missing."
    if entry["disagreement"] and entry["disagreement"]["source"] == "readers":
        dice = entry["disagreement"]["dice"]
        yield f"Readers agree with a Dice of {dice:.2f}: no model can be expected to score much higher against one."
    shares = [of["share"] for of in list(entry["mask_classes"].values())[1:]]
    if shares and min(shares) < 0.01:
        yield f"The smallest class covers {min(shares):.2%} of the pixels: crop around it, or keep the Dice loss."
    if entry["duplicates"]["exact"] or entry["duplicates"]["near"]:
        yield "Copies of pictures are kept in one split by prepare; remove those that are not wanted."
