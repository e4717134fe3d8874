"""Images noised to a level and denoised again: what a model keeps, and what it replaces."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sfumato.data.formats.image import ending_of, write_image
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.source import find_cases
from sfumato.data.spec import read_input, to_data
from sfumato.errors import UsageError
from sfumato.evenly import evenly
from sfumato.experiment.inference import final_state, steps_from
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.pictures import spared_picture
from sfumato.experiment.run import Model
from sfumato.experiment.sampling import AS_TRAINED, IMAGES_AT_ONCE, Drawing, Sampling
from sfumato.outputs.origin import drawn_by, made_by
from sfumato.progress import bar
from sfumato.provenance import write_provenance
from sfumato.randomness import Noise, derive_seed
from sfumato.reporting.figures import heat, strips
from sfumato.tasks.task import to_uint8
from sfumato.tasks.trajectory import at_data_contrast
from sfumato.training.processes import choose_device
from sfumato.verbs.generate import load_generator
from sfumato.verbs.opened import origin_of

SHEET_COLUMNS = 8


@dataclass(frozen=True)
class Reconstructed:
    """Images that were noised and denoised, or would be.

    Attributes:
        folder: input/, corrupted/, reconstructed/, difference/, manifest.csv, sheet.png.
        images: how many.
        network_calls: for each.
        distances: mean absolute and root mean square error, means over the images; 1 is from black to white. Empty of
            what would be made.
    """

    folder: Path
    images: int
    network_calls: int
    distances: Mapping[str, float]


def reconstruct(
    model: Model | Path | str,
    source: Path | str,
    *,
    out: Path | str,
    noise: float = 0.5,
    sampling: Sampling = AS_TRAINED,
    count: int = 16,
    seed: int = 0,
    batch: int = IMAGES_AT_ONCE,
    device: str = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> Reconstructed:
    """Noise images to a level and denoise them: writes input, corrupted, reconstructed, difference, and distances.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        source: an image, a folder of images, or a dataset; their classes are told to the model if it knows them.
        out: the folder to write.
        noise: how much: a time from 0, nothing, to 1, where the image is gone; of the steps from noise, those below it
            are taken.
        sampling: how each is drawn.
        count: at most so many images, spread over the source.
        seed: with the case's name it decides the noise.
        batch: images drawn at once; bounds the memory.
        device: auto, cpu, cuda or cuda:N, mps; a model that is loaded stays where it is.
        overwrite: replace a folder that is not empty.
        dry_run: write nothing.

    Raises:
        UsageError: the model makes no images, or the level is none.
        DataError: an image cannot be read, or does not fit the model.
    """
    choose_device(device)
    check_level(noise)
    source, out = Path(source), Path(out)
    loaded, path = load_generator(model), origin_of(model)
    drawing = sampling.of(loaded, path, batch=batch, below=noise)
    cases = evenly(find_cases(source, hints=loaded.spec.as_taught()).cases, count)
    claim = claim_output(out, overwrite=overwrite, inputs=[source], used=[path])
    if dry_run:
        return Reconstructed(out, len(cases), drawing.calls, {})
    with claim.folder() as folder:
        made = _reconstructions(loaded, drawing, cases, seed=seed, batch=batch)
        rows = _write(loaded, cases, made, folder, drawing, seed=seed)
        inputs = {"model": path, "source": source}
        write_provenance(folder, inputs=inputs, seed=seed, model=loaded.provenance, noise=noise)
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return Reconstructed(out, len(cases), drawing.calls, means)


def check_level(noise: float) -> None:
    """Refuse a noise level that is none."""
    if not 0 < noise <= 1:
        raise UsageError(f"--noise {noise:g}", expected="a time above 0, where the image is untouched, up to 1")


class _Pictures(NamedTuple):
    """One image in the model's size on its way, uint8 (h, w, c)."""

    input: np.ndarray
    corrupted: np.ndarray
    reconstructed: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Absolute difference between input and reconstruction in [0, 1], mean over channels (h, w)."""
        difference = self.input.astype(np.float64) - self.reconstructed
        error: np.ndarray = np.abs(difference).mean(2) / 255
        return error

    def distances(self) -> dict[str, float]:
        """How far the reconstruction is from the input; 1 is from black to white."""
        return {
            "mean_absolute_error": round(float(self.error.mean()), 6),
            "root_mean_square_error": round(float(np.sqrt((self.error**2).mean())), 6),
        }


def _reconstructions(
    model: Model, drawing: Drawing, cases: Sequence[Case], *, seed: int, batch: int
) -> Iterator[_Pictures]:
    t, classes = drawing.sampler.times[0], model.spec.classes
    for start in range(0, len(cases), batch):
        chunk = cases[start : start + batch]
        x0 = to_data(np.stack([read_input(case, model.spec).array for case in chunk]), model.spec, model.device)
        noise = Noise([derive_seed(seed, "reconstruct", case.id) for case in chunk], model.device)
        x_t = model.process.corrupt(model.representation.encode(x0), t, noise)
        labels = [case.label if case.label in classes else None for case in chunk]
        steps = steps_from(model, drawing.sampler, x_t, labels, noise, guidance=drawing.guidance)
        made = final_state(model, steps)
        shown = (x0, model.representation.decode(at_data_contrast(model.process, x_t, t)), made)
        yield from map(_Pictures, *(to_uint8(images) for images in shown))


def _write(
    model: Model,
    cases: Sequence[Case],
    reconstructions: Iterator[_Pictures],
    folder: Path,
    drawing: Drawing,
    *,
    seed: int,
) -> list[dict[str, float]]:
    """The pictures of each case, the manifest and a sheet; the distances of each case."""
    rows: list[dict[str, float]] = []
    facts = {"seed": str(seed), "noise": repr(drawing.sampler.times[0])}
    first: list[_Pictures] = []
    with bar("reconstructing", total=len(cases)) as progress:
        for case, pictures in zip(cases, reconstructions, strict=True):
            about = {**facts, "source": case.id, "class": case.label or ""}
            made = made_by(model, drawing, about, kind="derived")
            for kind, pixels in _kinds(pictures).items():
                path = folder / kind / f"{case.id}{ending_of(pixels.shape[2])}"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_image(path, pixels, text=None if kind == "input" else made.texts())
            rows.append(pictures.distances())
            first += [pictures] if len(first) < SHEET_COLUMNS else []
            progress.update(len(rows))
    with spared_picture("the sheet"):
        _write_sheet(folder / "sheet.png", first, [case.id[-20:] for case in cases])
    ending = ending_of(model.spec.channels)
    written = [
        Case(id=case.id, image=str(folder / f"reconstructed/{case.id}{ending}"), label=case.label, origin="synthetic")
        for case in cases
    ]
    same = {**facts, **drawn_by(drawing), "model": model.sha256}
    columns: dict[str, list[Any]] = {"input": [case.image for case in cases]}
    columns |= {name: [value] * len(cases) for name, value in same.items()}
    columns |= {name: [row[name] for row in rows] for name in rows[0]}
    write_manifest(folder / "manifest.csv", written, extra=columns, places=["input"])
    return rows


def _write_sheet(path: Path, first: Sequence[_Pictures], names: Sequence[str]) -> None:
    """The first few, a row for each kind of picture; the difference, which is in colour, beside its panels."""
    sheet = {kind: [_kinds(each)[kind] for each in first] for kind in _kinds(first[0])}
    path.write_bytes(strips(sheet, names[: len(first)]))


def _kinds(pictures: _Pictures) -> dict[str, np.ndarray]:
    """What is written of an image, by folder."""
    return {**pictures._asdict(), "difference": heat(pictures.error)}
