"""What `sfumato pair` writes.

PAIRS/  images/000012.png  masks/000012.png   pairs that were kept, by the number of the attempt; images.tif of other
                          channels than grey or RGB
        manifest.csv              a row each: seed, where the mask comes from, Dice of its mask with the segmenter's
        rejected/                 the same of the others, if they were asked for
        pairs.png  rejected.png   images beside themselves with their masks outlined
        summary.json  provenance.json
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.data.formats.image import ending_of, write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.evaluation.pairs.making import Maker, Pair, stored_mask
from sfumato.experiment.output_folder import numbered_file
from sfumato.experiment.pictures import spared_picture
from sfumato.experiment.sharded_job import Finished, ItemFacts
from sfumato.outputs.origin import drawn_by, made_by
from sfumato.outputs.samples import item_of
from sfumato.reporting.sections.pairs import outlined
from sfumato.wording import counted

SHOWN = 32
"""Pairs on a sheet, at most."""

COPY_COLUMNS = ("copy_score", "nearest_real", "copy_view", "copy")
"""Empty until the images are compared with the training images."""


def pair_facts(pair: Pair) -> dict[str, Any]:
    """What the tables at the end say of an attempt."""
    return {
        "kept": pair.kept,
        "seed": pair.wanted.seed,
        "label": pair.wanted.label,
        "mask_source": pair.source,
        "dice": pair.dice,
    }


def write_pair(maker: Maker, pair: Pair, folder: Path, *, subdirs: bool) -> None:
    """The image and its mask, which say that they are synthetic; with `subdirs` in folders of a thousand."""
    model, wanted = maker.model, pair.wanted
    assert model.spec.mask_rule is not None, "a dataset with masks has a rule"
    about = {"seed": str(wanted.seed), "class": wanted.label or "", "source": pair.source, **_of_masks(maker)}
    texts = made_by(model, maker.drawing, about).texts()
    for kind, pixels in (("images", pair.image), ("masks", stored_mask(pair.mask, model.spec.mask_rule))):
        ending = ending_of(pixels.shape[2] if pixels.ndim == 3 else 1)
        path = folder / kind / f"{numbered_file(item_of(wanted), subdirs=subdirs)}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, pixels, text=texts)


def write_tables(maker: Maker, finished: Finished, *, count: int, rejected: bool, subdirs: bool) -> None:
    """What is about all attempts: manifests, sheets, summary.

    Args:
        maker: what made the pairs.
        finished: the folder, and the facts of every attempt.
        count: pairs that were asked for.
        rejected: whether the files of the others were written too.
        subdirs: whether files lie in folders of a thousand.
    """
    kept = [facts for facts in finished.facts if facts["kept"]]
    others = [facts for facts in finished.facts if not facts["kept"]]
    _write_manifest(maker, finished.files, kept, subdirs=subdirs)
    if rejected and others:
        _write_manifest(maker, finished.files / "rejected", others, subdirs=subdirs)
    for name, rows in (("pairs.png", kept), ("rejected.png", others)):
        shown = [np.load(finished.aside / f"{facts['id']}.npz") for facts in rows[:SHOWN]]
        if not shown:
            continue
        with spared_picture(f"the sheet {name}"):
            write_image(finished.files / name, outlined([(each["image"], each["mask"]) for each in shown]))
    summary = _summary(maker, finished.facts, count=count)
    (finished.files / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _write_manifest(maker: Maker, folder: Path, rows: Sequence[ItemFacts], *, subdirs: bool) -> None:
    sha256, names = maker.model.sha256, [numbered_file(facts["id"], subdirs=subdirs) for facts in rows]
    ending = ending_of(maker.model.spec.channels)
    files = [(f"images/{name}{ending}", f"masks/{name}.png") for name in names]
    cases = [
        Case(
            id=f"pair-{facts['id']}",
            image=str(folder / image),
            masks=(str(folder / mask),),
            label=facts["label"],
            origin="synthetic",
            source=sha256,
        )
        for facts, (image, mask) in zip(rows, files, strict=True)
    ]
    columns: dict[str, Sequence[object]] = {
        "file": [image for image, _ in files],
        **{name: [facts[name] for facts in rows] for name in ("seed", "mask_source")},
        "dice_resegmented": ["" if facts["dice"] is None else f"{facts['dice']:.4f}" for facts in rows],
        "kept": ["yes" if facts["kept"] else "no" for facts in rows],
        **{name: [value] * len(rows) for name, value in {**drawn_by(maker.drawing), **_of_masks(maker)}.items()},
        "model": [sha256] * len(rows),
    }
    empty = {name: [""] * len(rows) for name in COPY_COLUMNS}
    write_manifest(folder / "manifest.csv", cases, extra=columns | empty)


def _of_masks(maker: Maker) -> Mapping[str, str]:
    """What decides the masks that images are made from."""
    return {} if maker.masks is None else maker.masks.facts


def _summary(maker: Maker, facts: Sequence[ItemFacts], *, count: int) -> dict[str, Any]:
    kept, check = sum(each["kept"] for each in facts), maker.check
    labels = dict.fromkeys(each["label"] for each in facts if each["label"])
    summary = {
        "kind": "pairs",
        "pairs": maker.model.layout.pairs,
        "asked": count,
        "kept": kept,
        "attempts": len(facts),
        "accepted": kept / len(facts),
        "stopped": "enough" if kept == count else "attempts",
        "seconds": round(sum(each["seconds"] for each in facts), 1),
        "classes": {label: sum(each["kept"] for each in facts if each["label"] == label) for label in labels},
        "network_calls": maker.calls,
        "check": None if check is None else check.summary(),
    }
    return summary | {"reading": _reading(summary)}


def _reading(summary: Mapping[str, Any]) -> list[str]:
    """The numbers in sentences."""
    kept, attempts, check = summary["kept"], summary["attempts"], summary["check"]
    if check is None:
        return [f"{counted(kept, 'pair')}. No segmenter was given: nobody has looked whether images and masks agree."]
    sentences = [
        f"{kept} of {counted(attempts, 'attempt')} {'was' if kept == 1 else 'were'} kept ({summary['accepted']:.0%}): "
        f"in their images a segmenter trained on real ones finds the mask with a Dice of {check['threshold']:.3f} or "
        f"more; of its {counted(check['real_cases'], 'real validation case')}, "
        f"{counted(check['real_below'], 'lies', 'lie')} below.",
    ]
    if (chance := check.get("kept_by_chance")) is not None:
        sentences.append(f"Of these real cases, {chance:.0%} would be kept with the mask of another one.")
    if (found := check.get("constant_mask")) and found["verdict"] != "better":
        sentences.append(
            "Whether the segmenter is any better than one and the same mask for every image, these real cases do not "
            f"tell (mean Dice {found['dice_of_model']:.3f} and {found['dice']:.3f})."
        )
    if summary["stopped"] == "attempts":
        sentences.append(f"{counted(summary['asked'], 'was', 'were')} asked for: all attempts are spent.")
    return sentences
