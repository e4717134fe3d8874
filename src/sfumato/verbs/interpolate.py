"""The images between two seeds, or between two images.

Between seeds, the states from which the images are made are interpolated spherically,

    x_T(w) = cos(pi w / 2) x_T(a) + sin(pi w / 2) x_T(b),      w from 0 to 1                              (1)

which keeps their variance at every w, so each is as likely a start as any. Between images, both are noised to a level
with the same noise, mixed linearly, and denoised (Ho et al. 2020, section 4.4): the noise is the same at every w.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfumato.data.formats.image import ending_of, write_image
from sfumato.data.formats.origin import OriginKind
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.source import find_cases
from sfumato.data.spec import read_input, to_data
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.errors import UsageError
from sfumato.evenly import evenly
from sfumato.experiment.inference import blank, final_state, noise_of, steps_from
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.pictures import spared_picture
from sfumato.experiment.run import Model
from sfumato.experiment.sample_requests import known_classes
from sfumato.experiment.sampling import AS_TRAINED, IMAGES_AT_ONCE, Drawing, Sampling
from sfumato.outputs.origin import drawn_by, made_by
from sfumato.provenance import digest, write_provenance
from sfumato.randomness import Noise
from sfumato.reporting.figures import animation, strip
from sfumato.tasks.task import to_uint8
from sfumato.training.processes import choose_device
from sfumato.typing import Data
from sfumato.verbs.generate import load_generator
from sfumato.verbs.opened import origin_of
from sfumato.verbs.reconstruct import check_level

_SHOWN = 9
"""Most frames in the strip."""


@dataclass(frozen=True)
class Interpolated:
    """The images between two, or what would be made.

    Attributes:
        folder: an image for each frame, manifest.csv, strip.png, interpolation.gif.
        images: how many.
        network_calls: for each.
    """

    folder: Path
    images: int
    network_calls: int


def interpolate(
    model: Model | Path | str,
    *,
    out: Path | str,
    seeds: Sequence[int] | None = None,
    images: tuple[Path | str, Path | str] | None = None,
    noise: float | None = None,
    frames: int = 9,
    label: str | None = None,
    sampling: Sampling = AS_TRAINED,
    batch: int = IMAGES_AT_ONCE,
    device: str = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> Interpolated:
    """Make the images between two seeds or two images: frames, a strip and an animation.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        out: the folder to write.
        seeds: two seeds like (3, 7); with images one seed, of the noise.
        images: two images to go between.
        noise: how much the images are noised: a time from 0, nothing, to 1, where they are gone; by default 0.5.
            Of the steps from noise, those below it are taken.
        frames: how many images, with both ends.
        label: the class of all, or two with a comma between them: then the second half is of the second.
        sampling: how each is drawn.
        batch: images made at once; bounds the memory.
        device: auto, cpu, cuda or cuda:N, mps; a model that is loaded stays where it is.
        overwrite: replace a folder that is not empty.
        dry_run: write nothing.

    Raises:
        UsageError: there are no two ends, the model makes no images or does not know a class, the level is none.
        DataError: an image cannot be read, or does not fit the model.
    """
    choose_device(device)
    out, files = Path(out), None if images is None else (Path(images[0]), Path(images[1]))
    ends = _ends(seeds, files, noise)
    if frames < 2:
        raise UsageError(f"--frames {frames}", expected="at least the two ends")
    loaded, path = load_generator(model), origin_of(model)
    if files is None and not isinstance(loaded.process, Gaussian):
        raise UsageError(
            f"the states of the process {loaded.recipe.process.kind} cannot be mixed", remedy="--images A B"
        )
    level = 0.5 if noise is None else noise
    drawing = sampling.of(loaded, path, batch=batch, below=None if files is None else level)
    labels = _labels(loaded.spec.classes, label, frames)
    claim = claim_output(out, overwrite=overwrite, inputs=files or (), used=[path])
    if dry_run:
        return Interpolated(out, frames, drawing.calls)
    weights = torch.linspace(0, 1, frames, dtype=torch.float64).tolist()
    if files is None:
        states = _between_seeds(loaded, drawing, ends, weights)
    else:
        states = _between_images(loaded, drawing, files, weights, seed=ends[0])
    noises = noise_of(loaded, ends[:1] * frames)
    made = [*_made(loaded, drawing, states, labels, noises, batch)]
    with claim.folder() as folder:
        _write(loaded, drawing, folder, made, labels, weights, facts=_facts(ends, files, drawing))
        inputs = {"model": path} | ({} if files is None else {"first": files[0], "second": files[1]})
        write_provenance(folder, inputs=inputs, seed=ends[0], seeds=ends, sampler=drawing.sampler.name)
    return Interpolated(out, frames, drawing.calls)


def _ends(seeds: Sequence[int] | None, images: tuple[Path, Path] | None, noise: float | None) -> list[int]:
    """The seeds: two to go between, or the one of the noise of two images."""
    given = [0] if seeds is None else list(seeds)
    if len(given) != (2 if images is None else 1):
        raise UsageError(
            f"--seeds {','.join(map(str, given))}" if seeds else "nothing to go between",
            expected="two --seeds like 3,7; or two --images, with one seed at most",
        )
    if images is None and noise is not None:
        raise UsageError("--noise is for --images: between seeds, the way starts at pure noise")
    check_level(1.0 if noise is None else noise)
    return given


def _facts(ends: Sequence[int], images: tuple[Path, Path] | None, drawing: Drawing) -> dict[str, str]:
    """What decides the frames besides their weights and classes."""
    facts = {"seeds": ",".join(map(str, ends)), "noise": repr(drawing.sampler.times[0])}
    if images is not None:
        facts |= {name: digest(image) or "" for name, image in zip(("first", "second"), images, strict=True)}
    return facts


def _labels(classes: Sequence[str], words: str | None, frames: int) -> list[str | None]:
    """The class of each frame."""
    named = [None] if words is None else known_classes(words, classes)
    if len(named) > 2:
        raise UsageError(f"--class {words}", expected="one class, or two like a,b")
    return [named[0] if frame < frames / 2 else named[-1] for frame in range(frames)]


def _between_seeds(model: Model, drawing: Drawing, seeds: Sequence[int], weights: Sequence[float]) -> Data:
    """Equation (1)."""
    ends = model.process.prior(blank(model, 2), noise_of(model, seeds), t=drawing.sampler.times[0])
    return torch.stack(
        [math.sin(math.pi / 2 * (1 - w)) * ends[0] + math.sin(math.pi / 2 * w) * ends[1] for w in weights]
    )


def _between_images(
    model: Model, drawing: Drawing, images: tuple[Path, Path], weights: Sequence[float], *, seed: int
) -> Data:
    """Both images, mixed and noised with the same noise: the mixture of the noised images."""
    cases = [find_cases(image, hints=model.spec.as_taught()).cases[0] for image in images]
    first, second = to_data(np.stack([read_input(case, model.spec).array for case in cases]), model.spec, model.device)
    mixed = model.representation.encode(torch.stack([torch.lerp(first, second, w) for w in weights]))
    return model.process.corrupt(mixed, drawing.sampler.times[0], noise_of(model, [seed] * len(weights)))


def _made(
    model: Model, drawing: Drawing, states: Data, labels: Sequence[str | None], noise: Noise, batch: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(states), batch):
        part = slice(start, start + batch)
        yield from to_uint8(
            final_state(
                model,
                steps_from(
                    model, drawing.sampler, states[part], labels[part], noise.part(part), guidance=drawing.guidance
                ),
            )
        )


def _write(
    model: Model,
    drawing: Drawing,
    folder: Path,
    made: Sequence[np.ndarray],
    labels: Sequence[str | None],
    weights: Sequence[float],
    *,
    facts: Mapping[str, str],
) -> None:
    """A file each, the manifest, a strip and an animation there and back."""
    cases = []
    kind: OriginKind = "synthetic" if drawing.sampler.times[0] >= 1 else "derived"
    for number, (image, label) in enumerate(zip(made, labels, strict=True)):
        path = folder / f"{number:03}{ending_of(image.shape[2])}"
        about = {**facts, "weight": repr(weights[number]), "class": label or ""}
        write_image(path, image, text=made_by(model, drawing, about, kind=kind).texts())
        cases.append(Case(id=path.stem, image=str(path), label=label, origin="synthetic", source=model.sha256))
    same = {**facts, **drawn_by(drawing), "model": model.sha256}
    columns: dict[str, list[Any]] = {"weight": [repr(weight) for weight in weights]}
    columns |= {name: [value] * len(cases) for name, value in same.items()}
    write_manifest(folder / "manifest.csv", cases, extra=columns)
    with spared_picture("the strip and the animation"):
        _draw(folder, made, labels, weights)


def _draw(folder: Path, made: Sequence[np.ndarray], labels: Sequence[str | None], weights: Sequence[float]) -> None:
    """Some frames side by side, and all of them there and back."""
    shown = [*evenly(range(len(made) - 1), _SHOWN - 1), len(made) - 1]
    labelled = [f"{weights[k]:.2f}" if labels[k] is None else f"{weights[k]:.2f} {labels[k]}" for k in shown]
    (folder / "strip.png").write_bytes(strip([made[k] for k in shown], labelled))
    there_and_back = [*made, *made[-2:0:-1]]
    (folder / "interpolation.gif").write_bytes(
        animation([[image] for image in there_and_back], hold=(0, len(made) - 1))
    )
