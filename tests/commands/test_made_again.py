"""A file says enough to be made again: from its text alone, and from its row of the manifest alone, the same pixels."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.commands.flagged import as_flags

from sfumato.commands import generate as generating
from sfumato.commands import interpolate as between
from sfumato.commands import pair as pairing
from sfumato.commands import reconstruct as rebuilding
from sfumato.commands import segment as segmenting
from sfumato.commands import train
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.data.formats.provenance import read_origin
from sfumato.experiment.run import load_model

from .conftest import TINY

WAYS: list[dict[str, Any]] = [
    {},
    {"sampler": "ddim", "eta": 0.3, "steps": 3, "grid": "uniform"},
    {"sampler": "heun", "churn": 7.5, "steps": 3, "guidance": 1.7, "guidance_interval": "0.3,4.5"},
    {
        "sampler": "dpmpp_2m",
        "steps": 5,
        "grid": "karras",
        "guidance": 2.0,
        "guide": "20",
        "guidance_interval": "0.1,inf",
    },
    {"size": 40, "upsample": "lanczos"},
]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def from_text(file: Path) -> dict[str, str]:
    """What `info` reads in a file, by the names of the manifest's columns."""
    return {key.lower().replace(" ", "_"): value for key, value in read_origin(file).items()}


def flags(said: Mapping[str, str], *, guided: bool = True) -> dict[str, Any]:
    """Flags from the words of a file or of a row; the numbers as numbers."""
    kinds = {"sampler": str, "grid": str, "steps": int, "eta": float, "churn": float, "guidance": float,
             "guidance_interval": str, "upsample": str}  # fmt: skip
    return {name: kind(said[name]) for name, kind in kinds.items() if said.get(name) and (guided or name != "guidance")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("of", ["text", "row"])
def test_images(generate_run: Path, tmp_path: Path, way: dict[str, Any], of: str) -> None:
    generating.generate(generate_run, out=tmp_path / "first", seeds="3,11", **as_flags(way))
    row = rows(tmp_path / "first")[1]
    file = tmp_path / "first" / row["image"]
    said = from_text(file) if of == "text" else row
    words = flags(said) | ({"size": pixels(file).shape[0]} if "upsample" in flags(said) else {})
    if said.get("guide"):
        assert said["guide"] == load_model(generate_run).sha256
        words["guide"] = "20"
    assert said["model"] == load_model(generate_run).sha256
    again = generating.generate(
        generate_run,
        out=tmp_path / "again",
        seeds=said["seed"],
        class_=said.get("class") or said["label"],
        **as_flags(words),
    )
    (made,) = (Path(again["samples"]) / each["image"] for each in rows(tmp_path / "again"))
    assert made.read_bytes() == file.read_bytes()


def test_what_decides_an_image_decides_it(generate_run: Path, tmp_path: Path) -> None:
    """Each of the words is needed: without it another image comes out."""
    words: dict[str, Any] = {
        "sampler": "heun", "steps": 3, "grid": "karras", "churn": 20.0, "guidance": 3.0, "guidance_interval": "0.3,30",
    }  # fmt: skip
    generating.generate(generate_run, out=tmp_path / "all", seeds="5", **as_flags(words))
    (row,) = rows(tmp_path / "all")
    whole = pixels(tmp_path / "all" / row["image"])
    for name in ("grid", "churn", "guidance_interval", "steps"):
        less = {key: value for key, value in words.items() if key != name}
        generating.generate(generate_run, out=tmp_path / name, seeds="5", **as_flags(less))
        assert not np.array_equal(pixels(tmp_path / name / row["image"]), whole), name


def test_masks(segment_run: Path, toy: Path, tmp_path: Path) -> None:
    image, *_ = sorted((toy / "images").glob("*.png"))
    ways: list[dict[str, Any]] = [
        {"samples": 2, "sampler": "ddim", "eta": 0.7, "steps": 3, "grid": "log_snr", "seed": 4},
        {"samples": 4, "tta": True, "start": "twin", "steps": 2},
    ]
    for number, way in enumerate(ways):
        segmenting.segment(segment_run, image, out=tmp_path / f"{number}", **as_flags(way))
        file = tmp_path / f"{number}" / "probability" / f"{image.stem}.png"
        said = from_text(file)
        more = {"start": said["start"]} if "start" in said else {}
        assert said.get("twin") == (load_model(segment_run / "twin").sha256 if more else None)
        again = segmenting.segment(
            segment_run, image, out=tmp_path / f"{number}-again", seed=int(said["seed"]), samples=int(said["members"]),
            tta="views" in said, **as_flags(flags(said)), **more,
        )  # fmt: skip
        assert (tmp_path / f"{number}-again" / "probability" / file.name).read_bytes() == file.read_bytes()
        summary = json.loads((tmp_path / f"{number}" / "summary.json").read_text())
        assert summary["drawn"] == again["drawn"] and {"grid", "eta", "churn"} <= summary["drawn"].keys()


def test_reconstructions_and_what_lies_between(generate_run: Path, toy: Path, tmp_path: Path) -> None:
    first, second, *_ = sorted((toy / "images").glob("*.png"))
    rebuilding.reconstruct(
        generate_run,
        first,
        out=tmp_path / "a",
        noise=0.37,
        sampling=SamplingFlags(steps=6, sampler="heun"),
        seed=9,
    )
    file = tmp_path / "a" / "reconstructed" / f"{first.stem}.png"
    said = from_text(file)
    rebuilding.reconstruct(
        generate_run,
        first,
        out=tmp_path / "b",
        noise=float(said["noise"]),
        seed=int(said["seed"]),
        **as_flags(flags(said, guided=False)),
    )
    assert (tmp_path / "b" / "reconstructed" / file.name).read_bytes() == file.read_bytes()
    words: dict[str, Any] = {"noise": 0.5, "frames": 4, "class_": "grade 1", "seeds": "3"}
    between.interpolate(generate_run, out=tmp_path / "c", images=(first, second), **words)
    third = tmp_path / "c" / "002.png"
    said = from_text(third)
    assert float(said["weight"]) == pytest.approx(2 / 3) and said["seeds"] == "3"
    assert len({said["first"], said["second"]}) == 2
    between.interpolate(
        generate_run, out=tmp_path / "d", images=(first, second), noise=float(said["noise"]), frames=4,
        class_=said["class"], seeds=said["seeds"], **as_flags(flags(said, guided=False)),
    )  # fmt: skip
    assert (tmp_path / "d" / third.name).read_bytes() == third.read_bytes()


def test_pairs(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train.generate(dataset, out=run, pairs="image_from_mask", steps=4, batch=4, set=[*TINY, "sample.steps=3"])
    way = SamplingFlags(sampler="ddim", grid="karras", guidance=1.5, guidance_interval=(0.2, 9.0))
    pairing.pair(run, out=tmp_path / "a", count=2, seed=5, change=0.6, sampling=way)
    row = rows(tmp_path / "a")[1]
    for said in (row, from_text(tmp_path / "a" / row["image"])):
        again = tmp_path / f"again-{len(said)}"
        pairing.pair(
            run, out=again, count=1, seed=int(said["seed"]), class_=said.get("class") or said["label"],
            change=float(said["change"]), masks=dataset, **as_flags(flags(said)),
        )  # fmt: skip
        (made,) = rows(again)
        for kind in ("image", "mask"):
            assert (again / made[kind]).read_bytes() == (tmp_path / "a" / row[kind]).read_bytes()
