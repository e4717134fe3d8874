"""`sfumato interpolate`: the images between two seeds, or between two images.

Between seeds, the states from which the images are made are interpolated spherically,

    x_T(w) = cos(pi w / 2) x_T(a) + sin(pi w / 2) x_T(b),      w from 0 to 1                              (1)

which keeps their variance at every w, so each is as likely a start as any. Between images, both are noised to a level
with the same noise, mixed linearly, and denoised (Ho et al. 2020, section 4.4): the noise is the same at every w.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from cyclopts import Parameter

from sfumato.commands.flags.device import Device
from sfumato.commands.flags.numbers import Count, Several
from sfumato.commands.flags.overshoot import warn_of_overshoot
from sfumato.commands.flags.wishes import known_classes, parse_seeds
from sfumato.commands.generate import load_generator
from sfumato.commands.output.origin import drawn_by, made_by
from sfumato.commands.reconstruct import check_level
from sfumato.data.formats.image import ending_of, write_image
from sfumato.data.formats.origin import Kind
from sfumato.data.manifest import Case, write_manifest
from sfumato.data.source import find_cases
from sfumato.data.spec import read_input, to_data
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.errors import UsageError
from sfumato.evenly import evenly
from sfumato.experiment.inference import blank, final, noise_of, steps_from
from sfumato.experiment.output_folder import claim_output
from sfumato.experiment.pictures import spared
from sfumato.experiment.run import Model
from sfumato.progress import say
from sfumato.provenance import digest, write_provenance
from sfumato.randomness import Noise
from sfumato.reporting.figures import animation, strip
from sfumato.tasks.task import Sampler, to_uint8
from sfumato.training.processes import choose_device
from sfumato.typing import Data
from sfumato.wording import counted

SHOWN = 9
"""Most frames in the strip."""


def interpolate(
    model: Path,
    /,
    *,
    out: Path,
    seeds: str | None = None,
    images: Annotated[tuple[Path, Path] | None, Parameter(negative="")] = None,
    noise: float | None = None,
    frames: Several = 9,
    class_: str | None = None,
    steps: Count | None = None,
    sampler: str | None = None,
    grid: str | None = None,
    batch: Count = 32,
    device: Device = "auto",
    overwrite: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Make the images between two seeds or two images: frames, a strip and an animation.

    Args:
        model: A run folder, a checkpoint or a model.safetensors.
        out: The folder to write.
        seeds: Two seeds like 3,7; with images one seed, of the noise.
        images: Two images to go between.
        noise: How much the images are noised: a time from 0, nothing, to 1, where they are gone; by default 0.5.
        frames: How many images, with both ends.
        class_: The class of all, or two like a,b: then the second half is of the second.
        steps: Steps of the sampler from noise; between images, those below the level are taken.
        sampler: One of sample.sampler in docs/recipe.md, such as dpmpp_2m, heun, ddim or ancestral.
        grid: One of sample.grid in docs/recipe.md, such as log_snr, karras or uniform.
        batch: Images made at once; bounds the memory.
        device: Where to work.
        overwrite: Replace a folder that is not empty.
        dry_run: Only say what would be written.
    """
    choose_device(device)
    ends = _ends(seeds, images, noise)
    if frames < 2:
        raise UsageError(f"--frames {frames}", expected="at least the two ends")
    loaded = load_generator(model)
    if images is None and not isinstance(loaded.process, Gaussian):
        raise UsageError(
            f"the states of the process {loaded.recipe.process.kind} cannot be mixed", remedy="--images A B"
        )
    start = 1.0 if images is None else 0.5 if noise is None else noise
    draw = partial(loaded.sampler, sampler=sampler, grid=grid)
    drawn = draw(steps=steps) if images is None else draw(steps=steps).below(start)
    warn_of_overshoot(loaded, drawn, again=lambda steps: draw(steps=steps).below(start))
    labels = _labels(loaded.spec.classes, class_, frames)
    claim = claim_output(out, overwrite=overwrite, inputs=images or (), used=[model])
    result = {"interpolation": str(out), "images": frames, "network_calls": drawn.calls}
    if dry_run:
        say(f"would make {counted(frames, 'image')} with {counted(drawn.calls, 'network call')} each into {out}")
        return result
    weights = torch.linspace(0, 1, frames, dtype=torch.float64).tolist()
    states = _between_seeds(loaded, drawn, ends, weights) if images is None else _between_images(
        loaded, drawn, images, weights, seed=ends[0]
    )  # fmt: skip
    noises = noise_of(loaded, ends[:1] * frames)
    made = [*_made(loaded, drawn, states, labels, noises, batch)]
    with claim.folder() as folder:
        _write(loaded, drawn, folder, made, labels, weights, facts=_facts(ends, images, drawn))
        inputs = {"model": model} | ({} if images is None else {"first": images[0], "second": images[1]})
        write_provenance(folder, inputs=inputs, seed=ends[0], seeds=ends, sampler=drawn.name)
    say(f"{frames} images in {out}")
    return result


def _ends(seeds: str | None, images: tuple[Path, Path] | None, noise: float | None) -> list[int]:
    """The seeds: two to go between, or the one of the noise of two images."""
    given = [0] if seeds is None else parse_seeds(seeds)
    if len(given) != (2 if images is None else 1):
        raise UsageError(
            f"--seeds {seeds}" if seeds else "nothing to go between",
            expected="two --seeds like 3,7; or two --images, with one seed at most",
        )
    if images is None and noise is not None:
        raise UsageError("--noise is for --images: between seeds, the way starts at pure noise")
    check_level(1.0 if noise is None else noise)
    return given


def _facts(ends: Sequence[int], images: tuple[Path, Path] | None, sampler: Sampler) -> dict[str, str]:
    """What decides the frames besides their weights and classes."""
    facts = {"seeds": ",".join(map(str, ends)), "noise": repr(sampler.times[0])}
    if images is not None:
        facts |= {name: digest(image) or "" for name, image in zip(("first", "second"), images, strict=True)}
    return facts


def _labels(classes: Sequence[str], words: str | None, frames: int) -> list[str | None]:
    """The class of each frame."""
    named = [None] if words is None else known_classes(words, classes)
    if len(named) > 2:
        raise UsageError(f"--class {words}", expected="one class, or two like a,b")
    return [named[0] if frame < frames / 2 else named[-1] for frame in range(frames)]


def _between_seeds(model: Model, sampler: Sampler, seeds: Sequence[int], weights: Sequence[float]) -> Data:
    """Equation (1)."""
    ends = model.process.prior(blank(model, 2), noise_of(model, seeds), t=sampler.times[0])
    return torch.stack(
        [math.sin(math.pi / 2 * (1 - w)) * ends[0] + math.sin(math.pi / 2 * w) * ends[1] for w in weights]
    )


def _between_images(
    model: Model, sampler: Sampler, images: tuple[Path, Path], weights: Sequence[float], *, seed: int
) -> Data:
    """Both images, mixed and noised with the same noise: the mixture of the noised images."""
    cases = [find_cases(image, hints=model.spec.as_taught()).cases[0] for image in images]
    first, second = to_data(np.stack([read_input(case, model.spec).array for case in cases]), model.spec, model.device)
    mixed = torch.stack([torch.lerp(first, second, w) for w in weights])
    return model.process.corrupt(mixed, sampler.times[0], noise_of(model, [seed] * len(weights)))


def _made(
    model: Model, sampler: Sampler, states: Data, labels: Sequence[str | None], noise: Noise, batch: int
) -> Iterator[np.ndarray]:
    for start in range(0, len(states), batch):
        part = slice(start, start + batch)
        yield from to_uint8(final(model, steps_from(model, sampler, states[part], labels[part], noise.part(part))))


def _write(
    model: Model,
    sampler: Sampler,
    folder: Path,
    made: Sequence[np.ndarray],
    labels: Sequence[str | None],
    weights: Sequence[float],
    *,
    facts: Mapping[str, str],
) -> None:
    """A file each, the manifest, a strip and an animation there and back."""
    cases = []
    kind: Kind = "synthetic" if sampler.times[0] >= 1 else "derived"
    for number, (image, label) in enumerate(zip(made, labels, strict=True)):
        path = folder / f"{number:03}{ending_of(image.shape[2])}"
        about = {**facts, "weight": repr(weights[number]), "class": label or ""}
        write_image(path, image, text=made_by(model, sampler, about, kind=kind).texts())
        cases.append(Case(id=path.stem, image=str(path), label=label, origin="synthetic", source=model.sha256))
    same = {**facts, **drawn_by(sampler), "model": model.sha256}
    columns: dict[str, list[Any]] = {"weight": [repr(weight) for weight in weights]}
    columns |= {name: [value] * len(cases) for name, value in same.items()}
    write_manifest(folder / "manifest.csv", cases, extra=columns)
    with spared("the strip and the animation"):
        _draw(folder, made, labels, weights)


def _draw(folder: Path, made: Sequence[np.ndarray], labels: Sequence[str | None], weights: Sequence[float]) -> None:
    """Some frames side by side, and all of them there and back."""
    shown = [*evenly(range(len(made) - 1), SHOWN - 1), len(made) - 1]
    labelled = [f"{weights[k]:.2f}" if labels[k] is None else f"{weights[k]:.2f} {labels[k]}" for k in shown]
    (folder / "strip.png").write_bytes(strip([made[k] for k in shown], labelled))
    there_and_back = [*made, *made[-2:0:-1]]
    (folder / "interpolation.gif").write_bytes(
        animation([[image] for image in there_and_back], hold=(0, len(made) - 1))
    )
