"""The network calls that verbs tell are those that they make: counted at the network, with all that changes them."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.commands.flagged import as_flags
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from sfumato.commands import generate as generating
from sfumato.commands import interpolate as between
from sfumato.commands import reconstruct as rebuilding
from sfumato.commands import report
from sfumato.commands import segment as segmenting
from sfumato.commands.flags.sampling import SamplingFlags
from sfumato.networks.unet import UNet
from sfumato.verbs import generate as generation

PIECE = 8
"""Items that a network looks at on a CPU, however few there are."""


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@contextmanager
def counted() -> Iterator[list[int]]:
    """The items of every call of a network while the block runs."""
    items: list[int] = []

    def count(module: nn.Module, given: tuple[Any, ...]) -> None:
        if isinstance(module, UNet) and given[0].device.type != "meta":  # which only asks for shapes
            items.append(len(given[0]))

    hook = register_module_forward_pre_hook(count)
    try:
        yield items
    finally:
        hook.remove()


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"guidance": 2.0},
        {"guidance": 2.0, "guidance_interval": "0.2,3"},
        {"guidance": 2.0, "guidance_interval": "0.2,3", "sampler": "heun", "steps": 3, "churn": 5.0},
        {"guidance": 1.5, "guidance_interval": "0,1", "guide": "20", "sampler": "dpmpp_2s_ancestral", "steps": 3},
        {"guidance": 0.5, "guidance_interval": "1,inf", "sampler": "dpm_fast", "steps": 5},
    ],
)
def test_images(generate_run: Path, tmp_path: Path, words: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "_write_process", lambda *_: None)  # draws one image once more
    told = generating.generate(generate_run, out=tmp_path / "out", count=PIECE, dry_run=True, **as_flags(words))
    with counted() as items:
        made = generating.generate(generate_run, out=tmp_path / "out", count=PIECE, batch=PIECE, **as_flags(words))
    assert sum(items) == made["network_calls"] * PIECE
    assert told["network_calls"] == made["network_calls"]
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["network_calls"] == made["network_calls"]


@pytest.mark.parametrize(
    "words",
    [
        {"samples": 8},
        {"samples": 8, "start": "twin", "steps": 2},
        {"samples": 8, "tta": True, "sampler": "heun", "steps": 2},
        {"samples": 8, "guidance": 2.0, "guidance_interval": "0.5,5", "guide": "60"},
    ],
)
def test_masks(segment_run: Path, toy: Path, tmp_path: Path, words: dict[str, Any]) -> None:
    image, *_ = sorted((toy / "images").glob("*.png"))
    with counted() as items:
        made = segmenting.segment(segment_run, image, out=tmp_path / "out", save="none", **as_flags(words))
    twin, start = PIECE, words.get("start") is not None
    assert sum(items) - twin - start * PIECE == made["network_calls"] - start, "one call of the twin fills a piece"
    assert [row["network_calls"] for row in rows(tmp_path / "out")] == [str(made["network_calls"])]
    assert [row["network_calls"] for row in rows(tmp_path / "out" / "twin")] == ["1"]
    report.report(tmp_path / "out", out=tmp_path / "page.html")
    assert f"{made['network_calls']} network calls each" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m", "dpmpp_sde"])
def test_ways_that_start_below_the_noise(generate_run: Path, dataset: Path, tmp_path: Path, sampler: str) -> None:
    words: dict[str, Any] = {"noise": 0.4, "sampler": sampler, "steps": 5}
    with counted() as items:
        made = rebuilding.reconstruct(generate_run, dataset, out=tmp_path / "a", count=PIECE, **as_flags(words))
    assert sum(items) == made["network_calls"] * PIECE
    with counted() as items:
        drawn = between.interpolate(
            generate_run,
            out=tmp_path / "b",
            seeds="3,7",
            frames=PIECE,
            sampling=SamplingFlags(sampler=sampler, steps=5),
        )
    assert sum(items) == drawn["network_calls"] * PIECE
