"""A small set of folders as sfumato writes them: a run, predictions, samples, scores, a data set."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.reporting.figures import grid, overlay, strip

SIZE = 48


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


def write_provenance(folder: Path) -> None:
    facts = {"command": ["sfumato", "..."], "seed": 0, "versions": {"sfumato": "0.1.0"}, "time": "2026-11-21T10:00:00Z"}
    (folder / "provenance.json").write_text(json.dumps(facts, indent=1))


def lesion(case: int, *, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """A skin-coloured picture with a dark ellipse, and its mask."""
    rng = np.random.default_rng(case)
    rows, columns = np.indices((size, size))
    centre, radii = rng.uniform(0.35, 0.65, 2) * size, rng.uniform(0.12, 0.3, 2) * size
    distance = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2
    skin = np.array([222, 176, 150]) + rng.normal(0, 6, (size, size, 1))
    image = skin - np.exp(-(distance**2))[..., None] * np.array([110, 105, 80])
    return image.clip(0, 255).astype(np.uint8), (distance < 1).astype(np.uint8)


def noisy(image: np.ndarray, *, steps: int = 7) -> list[np.ndarray]:
    noise = np.random.default_rng(0).normal(128, 70, image.shape)
    return [((1 - t) * image + t * noise).clip(0, 255).astype(np.uint8) for t in np.linspace(1, 0, steps)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "lesions-run"
    sheet = grid(np.stack([lesion(case)[0] for case in range(16)]), 4)
    for step in range(200, 2001, 200):
        save(folder / "samples" / f"step-{step:08d}.png", noisy(sheet, steps=11)[step // 200])
    trajectory = noisy(lesion(1)[0])
    (folder / "samples" / "process.png").write_bytes(
        strip(trajectory, [f"t = {t:.2f}" for t in np.linspace(1, 0, len(trajectory))])
    )
    rng, records = np.random.default_rng(1), []
    for step in range(5, 2001, 5):
        loss = 0.05 + np.exp(-step / 300) + 0.02 * rng.random()
        terms = {"loss": loss, "ce": loss * 0.4, "soft_dice": loss * 0.6, "learning_rate": 2e-4 * min(1, step / 200)}
        record = {"kind": "train", "step": step, "images": step * 16, "seconds": step * 0.4, **terms}
        records.append({**record, "gradient_norm": None if step == 10 else 1 + rng.random()})
        if step % 250 == 0:
            dice = 0.9 - 0.6 * np.exp(-step / 400)
            records.append({"kind": "validate", "step": step, "seconds": 3.0, "dice": dice, "iou": dice / (2 - dice)})
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "recipe.yaml").write_text("task: {kind: segment, classes: [background, lesion]}\ntrain: {batch: 16}\n")
    reason = "the mode of the annotators separates at the log-SNR of -ln(ambiguous pixels), here 340 of 4096"
    plan = [
        {"choice": "sample.grid", "value": "logsnr", "reason": reason},
        {"choice": "size", "value": 64, "reason": "x"},
    ]
    (folder / "plan.json").write_text(json.dumps(plan))
    write_provenance(folder)
    return folder


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    folder, rows = tmp_path / "predictions", []
    for case in range(9):
        name, (image, mask) = f"ISIC_{case:07d}", lesion(case)
        soft = np.abs(np.cumsum(np.roll(mask, 2, 0) + 0.0, axis=0) / max(1, mask.sum(0).max())).clip(0, 1)
        save(folder / "masks" / f"{name}.png", mask * 255)
        save(folder / "probability" / f"{name}.png", (soft * 255).astype(np.uint8))
        save(folder / "uncertainty" / f"{name}.png", (4 * soft * (1 - soft) * 65535).astype(np.uint16))
        save(folder / "overlay" / f"{name}.png", overlay(image, mask))
        (folder / "readings").mkdir(exist_ok=True)
        shown = [overlay(image, np.roll(mask, member, 0)) for member in range(4)]
        (folder / "readings" / f"{name}.png").write_bytes(strip(shown, [f"member {each}" for each in range(4)]))
        (folder / "process").mkdir(exist_ok=True)
        (folder / "process" / f"{name}.png").write_bytes(strip(noisy(image), [f"{t}" for t in range(7)]))
        files = {
            "mask": f"masks/{name}.png",
            "probability": f"probability/{name}.png",
            "uncertainty_map": f"uncertainty/{name}.png",
            "overlay": f"overlay/{name}.png",
        }
        numbers = {"area": mask.mean(), "uncertainty": 0.5 - case / 20, "agreement": 0.7 + case / 40}
        cost = {"review_rank": case + 1, "network_calls": 64, "seconds": 1.234567}
        rows.append({"id": name, "input": f"/somewhere/else/{name}.jpg", **files, **numbers, **cost})
    write_table(folder / "manifest.csv", rows[::-1])
    (folder / "summary.json").write_text(json.dumps({"cases": 9, "samples": 8}))
    write_provenance(folder)
    return folder


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    folder, rows = tmp_path / "samples", []
    for number in range(70):
        label, (image, _) = ("benign", "malignant")[number % 2], lesion(number)
        file = f"{label}/{number:06d}.png"
        save(folder / file, image)
        facts = {"seed": number, "steps": 18, "guidance": 1.0, "sampler": "heun", "model": "9f3c1d"}
        rows.append({"file": file, "id": f"{number:06d}", "label": label, **facts})
    images = np.stack([lesion(number)[0] for number in range(64)])
    for count, columns in ((16, 4), (36, 6), (64, 8)):
        save(folder / "grids" / f"{count}.png", grid(images[:count], columns))
    for label, part in (("benign", images[::2]), ("malignant", images[1::2])):
        save(folder / f"class_{label}.png", grid(part[:16], 4))
    (folder / "progression.png").write_bytes(strip(noisy(images[0]), [f"step {t}" for t in range(7)]))
    write_table(folder / "manifest.csv", rows)
    write_provenance(folder)
    return folder


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    folder, rows = tmp_path / "scores", []
    rng = np.random.default_rng(2)
    difficulty = rng.beta(8, 2, 30)
    for arm, gain in (("deterministic twin", 0.0), ("diffusion", 0.03)):
        for case in range(30):
            name, (image, mask) = f"ISIC_{case:07d}", lesion(case)
            dice = float(np.clip(difficulty[case] + gain + rng.normal(0, 0.01), 0, 1))
            save(folder / "overlay" / arm / f"{name}.png", overlay(image, np.roll(mask, case % 5, 0), reference=mask))
            numbers = {"dice": dice, "iou": dice / (2 - dice), "hd95": "" if case == 3 else 10 * (1 - dice)}
            picture = {"uncertainty": 1 - dice, "overlay": f"overlay/{arm}/{name}.png"}
            rows.append({"arm": arm, "id": name, "class": "lesion", **numbers, **picture})
    write_table(folder / "scores.csv", rows)
    arms = {"diffusion": {"Dice": 0.8, "sensitivity": 0.97}, "deterministic twin": {"Dice": 0.77, "sensitivity": 0.93}}
    (folder / "summary.json").write_text(json.dumps({"foreground_mean": {"Dice": 0.8}, "arms": arms}))
    write_provenance(folder)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder, rows = tmp_path / "dataset", []
    folder.mkdir()
    np.save(folder / "images.npy", np.stack([lesion(case)[0] for case in range(20)]))
    for case in range(20):
        split = "train" if case < 14 else "validation" if case < 17 else "test"
        files = {"id": f"case-{case}", "image": f"/raw/{case}.jpg", "mask": f"/raw/{case}_mask.png"}
        rows.append({**files, "label": ("benign", "malignant")[case % 3 == 0], "split": split, "origin": "real"})
    write_table(folder / "manifest.csv", rows)
    (folder / "dataset.json").write_text(json.dumps({"kind": "segment", "channels": 3}))
    return folder


@pytest.fixture
def folders(run: Path, predictions: Path, samples: Path, scores: Path, dataset: Path) -> list[Path]:
    return [scores, run, predictions, samples, dataset]
