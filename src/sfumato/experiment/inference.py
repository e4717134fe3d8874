"""A trained model at work, in Python: masks for cases, images for wishes. The commands write what these yield."""

import math
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from sfumato.data.manifest import Case
from sfumato.data.placement import Placement, restore
from sfumato.data.spec import Input, Spec, drawn_cases, model_input, stored_channels, to_data, with_channels
from sfumato.data.statistics import statistics
from sfumato.diffusion.guidance import UNGUIDED, Guidance
from sfumato.diffusion.loss import probabilities
from sfumato.diffusion.process import Denoise, Step
from sfumato.errors import ModelError
from sfumato.experiment.run import Model
from sfumato.memory import AdaptiveBatchSize
from sfumato.metrics.ensemble import mean_probability, mutual_information, predictive_entropy
from sfumato.randomness import Noise, derive_seed
from sfumato.slabs import slabs
from sfumato.tasks.pairs import Beside
from sfumato.tasks.seen import SeenImages, seen
from sfumato.tasks.segment import draw_masks, signed_one_hot
from sfumato.tasks.synthesise import draw_images
from sfumato.tasks.task import Sampler, last, to_uint8
from sfumato.tasks.trajectory import Trajectory, TrajectoryFrame, recorded, trajectory
from sfumato.tasks.views import turn_back, turn_images, views_of
from sfumato.typing import Data, Output

DRAWN_AT_ONCE = 2**22
"""Pixels of all masks that are drawn at once, unless one alone has more."""


SHARES_AS_THEY_ARE = 2**28
"""Numbers of all members of a case that are kept as float32 (1 GiB); more are kept as float16."""

MAPS_AS_THEY_ARE = 2**25
"""Numbers of an image's mean probabilities that are kept as float64 (256 MiB); more, and volumes, as float32."""

FILMED_SIDE = 1024
"""Pixels of the longer side of what is filmed, at most about: the pictures are much smaller."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """All members drawn for one case.

    Attributes:
        case: the case.
        picture: the image in its own size as the model sees its intensities, uint8 (*space, channels).
        placement: the way back to the original size.
        members: class probabilities of each member in the model's size (k, classes, *space), float32; of large volumes
            float16 (`SHARES_AS_THEY_ARE`).
        trajectory: the first member's way from noise, if it was asked for.
    """

    case: Case
    picture: np.ndarray
    placement: Placement
    members: np.ndarray
    trajectory: Trajectory | None = None


class Prediction(NamedTuple):
    """What is known about one case after segmentation, all in the input's own size.

    Attributes:
        probability: mean class probabilities (classes, *space); space is (h, w), of a volume (planes, h, w).
        members: class indices of each member (k, *space).
        mask: class indices (*space).
        entropy: predictive entropy of each pixel in [0, 1].
        information: mutual information of each pixel in [0, 1]: what the members disagree about.
    """

    probability: np.ndarray
    members: np.ndarray
    mask: np.ndarray
    entropy: np.ndarray
    information: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Twin:
    """The estimates of the deterministic twin, from which a warm sampler starts.

    Args:
        model: the twin.
        hard: its mask instead of its probabilities.
    """

    model: Model
    hard: bool = False

    @property
    def calls(self) -> int:
        """Network calls for one image, whatever the number of members."""
        return self.model.calls(self.model.sampler())

    def __call__(self, images: Data) -> Output:
        """Estimated one-hot masks in [-1, 1]."""
        classes, nowhere = len(self.model.spec.mask_classes), [0] * len(images)
        sampler = self.model.sampler()
        steps = draw_masks(
            self.model.process, self.model.network, sampler, images, classes, seeds=nowhere, window=self.model.window
        )
        x0_hat = last(steps).x0
        return signed_one_hot(x0_hat.argmax(1), classes) if self.hard else x0_hat


def predict(
    model: Model,
    sampler: Sampler,
    cases: Sequence[Case],
    *,
    count: int,
    seed: int,
    batch: int,
    start: Twin | None = None,
    tta: bool = False,
    recorded: Container[str] = (),
    guidance: Guidance = UNGUIDED,
    read: Callable[[Case, Spec], Input] | None = None,
    tell: Callable[[str], object] = warnings.warn,
) -> Iterator[Ensemble]:
    """Draw `count` masks for each case, `batch` at a time; memory does not grow with the number of steps.

    Member m of a case depends on (seed, the case's id, m) alone.

    Args:
        model: the model.
        sampler: how each mask is drawn.
        cases: what to segment; of a model that sees whole volumes their planes, those of each side by side.
        count: members of each ensemble.
        seed: decides the noise.
        batch: masks drawn at once.
        start: what a warm sampler starts from; None for noise.
        tta: test-time augmentation: member m sees view m of the image (`tasks.views`) and is turned back.
        recorded: ids of the cases whose first member is filmed.
        guidance: away from a weaker model, or none.
        read: the image of a case in the model's form, where it is there already; None: from its files.
        tell: told in words when memory runs out and fewer masks are drawn at once.

    Raises:
        ModelError: it draws NaN.
        ResourceError: memory does not hold one mask.
        ValueError: more members than views.
    """
    if tta and count > views_of(model.spec.size):
        raise ValueError(f"{count} members, but only {views_of(model.spec.size)} views of images of this shape")
    if read is None:
        cases, read = drawn_cases(cases, model.spec)
    draw = Draw(model=model, sampler=sampler, seed=seed, tta=tta, recorded=recorded, guidance=guidance)
    together = max(1, batch // count) if model.spec.size else 1
    portions = AdaptiveBatchSize(batch, tell=tell)
    for first in range(0, len(cases), together):
        done = draw.chunk(cases[first : first + together], read, portions, count=count, start=start)
        while done:
            yield done.pop(0)  # and is not held here: of large images the memory is needed


def joined(streams: Sequence[Iterator[Ensemble]]) -> Iterator[Ensemble]:
    """The ensembles of several models of the same cases, in the same order, as one of each case.

    Pictures and trajectories are those of the first model.
    """
    first, *others = streams
    while (ensemble := next(first, None)) is not None:
        members = [ensemble.members, *(next(other).members for other in others)]
        made = [replace(ensemble, members=np.concatenate(members))]
        del ensemble, members
        yield made.pop()


class Member(NamedTuple):
    """Which mask is drawn: of which case of a chunk, and its number there."""

    row: int
    number: int


def members_of(cases: int, count: int) -> list[Member]:
    """All members of a chunk, those of a case side by side."""
    return [Member(row, number) for row in range(cases) for number in range(count)]


def _room_for(count: int, classes: int, size: Sequence[int]) -> np.ndarray:
    """For the numbers of all members."""
    shape = (count, classes, *size)
    return np.empty(shape, share_dtype(math.prod(shape)))


def share_dtype(numbers: int) -> np.dtype:
    """In which precision so many numbers of the members of a case are kept."""
    return np.dtype(np.float32 if numbers <= SHARES_AS_THEY_ARE else np.float16)


def map_dtype(numbers: int, *, flat: bool) -> np.dtype:
    """In which precision so many mean probabilities are kept, of an image or of a volume."""
    return np.dtype(np.float64 if flat and numbers <= MAPS_AS_THEY_ARE else np.float32)


class _Drawn(NamedTuple):
    """Class probabilities of a batch, and the films of some cases' first members by the cases' ids."""

    probability: np.ndarray
    films: dict[str, Trajectory]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Draws batches of masks, each by (seed, the case's id, its number) alone.

    Args:
        model: the model.
        sampler: how each mask is drawn.
        seed: decides the noise.
        tta: member m sees view m of the image (`tasks.views`) and is turned back.
        guidance: away from a weaker model, or none.
        recorded: ids of the cases whose first member is filmed.
        around: what is put around the whole denoiser, such as an audit of it.
    """

    model: Model
    sampler: Sampler
    seed: int
    tta: bool = False
    guidance: Guidance = UNGUIDED
    recorded: Container[str] = ()
    around: Callable[[Denoise], Denoise] = lambda denoise: denoise

    def __call__(
        self,
        names: Sequence[str],
        images: Data,
        guesses: Output | None,
        part: Sequence[Member],
        *,
        known: SeenImages | None = None,
    ) -> _Drawn:
        """One batch, on the CPU, of the cases of a chunk: their ids, their images and what to start from.

        Where `known` is given, the network has seen the images of the chunk as they are.

        Raises:
            ModelError: the model draws NaN.
        """
        rows = [member.row for member in part]
        ids, numbers = [names[row] for row in rows], [member.number for member in part]
        views = numbers if self.tta else [0] * len(part)
        seeds = [derive_seed(self.seed, "segment", *member) for member in zip(ids, numbers, strict=True)]
        steps = draw_masks(
            self.model.process,
            self.model.network,
            self.sampler,
            turn_images(_of_rows(images, rows), views),
            len(self.model.spec.mask_classes),
            seeds=seeds,
            start=None if guesses is None else turn_images(_of_rows(guesses, rows), views),
            window=self.model.window,
            known=known.of_masks(rows) if known else None,
            guidance=self.guidance,
            around=self.around,
        )
        filmed = [place for place, number in enumerate(numbers) if number == 0 and ids[place] in self.recorded]
        frames: list[TrajectoryFrame] = []
        for frame in recorded(self.model.process, steps, self.sampler.steps):
            if filmed:
                frames.append(frame._replace(state=_seen(frame.state, filmed), estimate=_seen(frame.estimate, filmed)))
        process = self.model.process
        films = {ids[place]: trajectory(process, frames, k, seed=seeds[place]) for k, place in enumerate(filmed)}
        estimate = frame.estimate
        del frame
        answer = probabilities(_numbers(estimate, self.model))
        return _Drawn(turn_back(answer, views).cpu().numpy(), films)

    def chunk(
        self,
        cases: Sequence[Case],
        read: Callable[[Case, Spec], Input],
        portions: AdaptiveBatchSize,
        *,
        count: int,
        start: Twin | None = None,
    ) -> list[Ensemble]:
        """The ensembles of some cases whose images have one size.

        Args:
            cases: what to segment.
            read: the image of a case in the model's form.
            portions: how many masks are drawn at once.
            count: members of each ensemble.
            start: what a warm sampler starts from; None for noise.
        """
        spec, names = self.model.spec, [case.id for case in cases]
        inputs = [read(case, spec) for case in cases]
        images = to_data(np.stack([each.array for each in inputs]), spec, str(self.model.device))
        shown = [(_picture(each, spec), each.placement) for each in inputs]
        del inputs
        guesses = None if start is None else start(images)
        every, fitting = members_of(len(cases), count), max(1, DRAWN_AT_ONCE // math.prod(images.shape[2:]))
        members = _room_for(len(every), len(spec.mask_classes), images.shape[2:])
        films, done = dict[str, Trajectory](), 0
        known = None if self.tta else seen(self.model.network, images, self.model.window, process=self.model.process)
        for drawn in portions.each(every, partial(self, names, images, guesses, known=known), at_most=fitting):
            members[done : done + len(drawn.probability)] = drawn.probability
            done += len(drawn.probability)
            films |= drawn.films
            del drawn
        return [
            Ensemble(
                case=case,
                picture=picture,
                placement=placement,
                members=members[k * count : (k + 1) * count],
                trajectory=films.get(case.id),
            )
            for k, (case, (picture, placement)) in enumerate(zip(cases, shown, strict=True))
        ]


def _of_rows(values: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """Some items: of several a copy, but one as it is."""
    return values[rows] if len(rows) > 1 else values[rows[0] : rows[0] + 1]


def _seen(values: torch.Tensor, items: Sequence[int]) -> torch.Tensor:
    """What is filmed of some items: images, and of volumes the plane in the middle; of large ones every nth pixel."""
    plane = values if values.ndim == 4 else values[:, :, values.shape[2] // 2]
    step = math.ceil(max(plane.shape[2:]) / FILMED_SIDE)
    return plane[:, :, ::step, ::step][items]


def _picture(image: Input, spec: Spec) -> np.ndarray:
    pixels = with_channels(image.pixels, spec.channels)
    picture = np.empty((*pixels.shape[:-1], spec.own_channels), np.uint8)
    for part in slabs(pixels.shape):
        stored = stored_channels(pixels[part], spec, image.stats)
        picture[part] = to_uint8(to_data(np.stack([stored]), spec))[0][..., : spec.own_channels]
    return picture


def in_original_size(ensemble: Ensemble) -> Prediction:
    """Probabilities brought back to the input's size, then decided."""
    members, size = _resized(ensemble), ensemble.placement.size
    count, classes = members.shape[:2]
    kind = map_dtype(classes * math.prod(size), flat=len(size) == 2)
    found = Prediction(
        np.empty((classes, *size), kind),
        np.empty((count, *size), np.uint8),
        np.empty(size, np.uint8),
        np.empty(size, kind),
        np.empty(size, kind),
    )
    for part in slabs(size):
        shares = _shares(members[:, :, part])
        found.probability[:, part] = mean = mean_probability(shares)
        found.members[:, part], found.mask[part] = shares.argmax(1), mean.argmax(0)
        found.entropy[part], found.information[part] = predictive_entropy(mean), mutual_information(shares)
    return found


def predict_array(
    model: Model,
    image: np.ndarray,
    *,
    count: int = 4,
    sampler: Sampler | None = None,
    guidance: Guidance = UNGUIDED,
    seed: int = 0,
    batch: int = 16,
    name: str = "image",
    spacing: tuple[float, ...] | None = None,
    volume: np.ndarray | None = None,
) -> Prediction:
    """Segment an image that is an array; from the same numbers come the same masks as from a file of this name.

    Args:
        model: a model of masks.
        image: (h, w) or (h, w, channels), with the numbers of the images that it was trained on: not scaled; of a
            model that sees whole volumes (planes, h, w), or with channels.
        count: members of the ensemble.
        sampler: how each is drawn; by default as the recipe says.
        guidance: away from a weaker model, or none.
        seed: with the name it decides the noise.
        batch: masks drawn at once.
        name: of the case.
        spacing: millimetres between rows and between columns, of whole volumes between planes first; needed by a model
            that was trained at a spacing.
        volume: the voxels that the image is a plane of: its black and white are those of the whole.

    Raises:
        DataError: it has other numbers or channels than the images that the model was trained on.
        ModelError: it draws NaN.
        ResourceError: memory does not hold one mask.
    """
    pixels = image[..., None] if image.ndim == model.spec.dimensions else image
    whole = pixels if volume is None else volume

    def read(_case: Case, spec: Spec) -> Input:
        files = len(spec.channel_files) or 1
        stats = tuple(map(statistics, np.array_split(whole, files, axis=-1)))
        array, placement = model_input(pixels, spec, stats, spacing=spacing)
        return Input(pixels, stats, array, placement)

    (ensemble,) = predict(
        model,
        sampler or model.sampler(),
        [Case(id=name, image="")],
        count=count,
        seed=seed,
        batch=batch,
        guidance=guidance,
        read=read,
    )
    return in_original_size(ensemble)


def _resized(ensemble: Ensemble) -> np.ndarray:
    """The members' numbers (k, classes, *space) in the original size; nothing where nothing was seen."""
    place = ensemble.placement
    if place.keeps_all:
        return ensemble.members
    count, classes = ensemble.members.shape[:2]
    back = _room_for(count, classes, place.size)
    for member, target in zip(ensemble.members, back, strict=True):
        target[:] = np.moveaxis(restore(np.moveaxis(member, 0, -1), place, nearest=False), -1, 0)
    return back


def _shares(values: np.ndarray) -> np.ndarray:
    """Class probabilities (k, classes, *space) that add up to 1; background where nothing was seen."""
    values = values.astype(np.float32, copy=False).clip(0, 1)
    values[:, 0] += values.sum(1) == 0
    shares: np.ndarray = values / values.sum(1, keepdims=True)
    return shares


class SampleRequest(NamedTuple):
    """One image to make.

    Attributes:
        number: its number within the output.
        label: its class; None for 'no class'.
        seed: with the class and the mask it decides the image.
        mask: class indices (h, w) that the image is made from, by a model that does so; None for 'no mask'.
    """

    number: int
    label: str | None
    seed: int
    mask: np.ndarray | None = None


class GeneratedImage(NamedTuple):
    """One image that was made.

    Attributes:
        wanted: what was asked for.
        image: uint8 (h, w, c); nothing (h, w, 0) of a model of masks.
        mask: class indices (h, w) uint8 of a model that makes masks too, else None.
    """

    wanted: SampleRequest
    image: np.ndarray
    mask: np.ndarray | None = None


def make(
    model: Model,
    sampler: Sampler,
    wanted: Sequence[SampleRequest],
    *,
    batch: int,
    guidance: Guidance = UNGUIDED,
    tell: Callable[[str], object] = warnings.warn,
) -> Iterator[GeneratedImage]:
    """The images, `batch` at a time, fewer when memory runs out; each depends on its seed, class and mask alone."""

    def work(chunk: Sequence[SampleRequest]) -> list[GeneratedImage]:
        images, masks = model.layout.parted(final_state(model, make_steps(model, sampler, chunk, guidance=guidance)))
        pixels = np.zeros((len(chunk), *model.spec.common_size, 0), np.uint8) if images is None else to_uint8(images)
        indices = [None] * len(chunk) if masks is None else list(masks.cpu().numpy().astype(np.uint8))
        return [GeneratedImage(*each) for each in zip(chunk, pixels, indices, strict=True)]

    for made in AdaptiveBatchSize(batch, tell=tell).each(wanted, work):
        yield from made


def final_state(model: Model, steps: Iterator[Step]) -> Data:
    """What a model's steps end in: its images, with the masks that it makes beside them.

    Raises:
        ModelError: it holds NaN or infinite numbers.
    """
    return model.representation.decode(_numbers(last(steps).x, model))


def _numbers(drawn: Data, model: Model) -> Data:
    """What a model drew, which must be numbers.

    Raises:
        ModelError: it holds NaN or infinite numbers, which as pixels would look like black.
    """
    if not all(bool(torch.isfinite(drawn[:, :, part]).all()) for part in slabs(drawn.shape[2:])):
        raise ModelError(
            f"{model.name} draws NaN or infinite numbers",
            expected="numbers: its weights are so large that they overflow",
            remedy="an earlier checkpoint; or another way of drawing: --sampler, --steps, --guidance 1",
        )
    return drawn


def make_steps(
    model: Model, sampler: Sampler, wanted: Sequence[SampleRequest], *, guidance: Guidance = UNGUIDED
) -> Iterator[Step]:
    """The steps from noise to one batch of images."""
    noise = noise_of(model, [image.seed for image in wanted])
    x = model.process.prior(blank(model, len(wanted)), noise, t=sampler.times[0])
    labels, masks = [image.label for image in wanted], [image.mask for image in wanted]
    return steps_from(model, sampler, x, labels, noise, masks=masks, guidance=guidance)


def steps_from(
    model: Model,
    sampler: Sampler,
    x: Data,
    labels: Sequence[str | None],
    noise: Noise,
    *,
    masks: Sequence[np.ndarray | None] = (),
    guidance: Guidance = UNGUIDED,
) -> Iterator[Step]:
    """The steps from the states `x` at the sampler's first time to images of the classes; None is 'no class'.

    A model that makes images from masks is shown `masks`, for each image the class indices (h, w) or None; of none of
    them where there are none.
    """
    classes = list(model.spec.classes)
    numbers = [None if label is None else classes.index(label) for label in labels]
    return draw_images(
        model.process,
        model.network,
        sampler,
        x,
        numbers,
        noise,
        guidance=guidance,
        classes=len(classes),
        beside=_beside(model, masks, len(x)),
        representation=model.representation,
    )


def _beside(model: Model, masks: Sequence[np.ndarray | None], count: int) -> Beside | None:
    """What the network is shown of the masks that images are made from: zeros for 'no mask'."""
    if not model.layout.from_mask:
        return None
    shown = torch.zeros((count, model.layout.beside, *model.spec.common_size), device=model.device)
    for row, mask in enumerate(masks):
        if mask is not None:
            shown[row] = signed_one_hot(torch.from_numpy(mask)[None], model.layout.classes)[0].to(model.device)
    return shown


def noise_of(model: Model, seeds: Sequence[int]) -> Noise:
    """The noise that a seed means for the images of a model."""
    return Noise([derive_seed("generate", seed) for seed in seeds], model.device)


def blank(model: Model, count: int) -> Data:
    """Room for so many images of a model as it diffuses them, with the masks that it makes beside them."""
    shape = model.representation.shape(model.layout.state, model.spec.common_size)
    return torch.empty((count, *shape), device=model.device)
