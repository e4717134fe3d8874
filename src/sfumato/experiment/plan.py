"""From the data to the settings that a recipe leaves open: every `auto` becomes a number, with its reason.

The choices are written to `plan.json` of the run, so a reader sees what was decided and why. What kind of numbers the
images have, and how they become black and white, is decided where they are prepared (`sfumato.data.spec`) and told in
the notes of the data set.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from sfumato.builder.data import build_representation, encoded_shape, refuse_uneven
from sfumato.builder.network import refuse_volumes, state_stride
from sfumato.data.augmentation.ranges import choose
from sfumato.data.dataset import Dataset
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.source import DiscoveredDataset
from sfumato.data.spec import Spec
from sfumato.errors import UsageError, listed
from sfumato.evenly import evenly
from sfumato.experiment.data_plan import Choice, median_size, own_sizes, plan_data, plan_patch, refuse_other_axes
from sfumato.experiment.network_shapes import SHAPES, TRAINING_PLACES, training_place
from sfumato.recipe import (
    DEFAULTS,
    LEARNING_RATES,
    NATIVE,
    DataSection,
    Recipe,
    SDDProcess,
    SSNProcess,
    in_images,
    merge,
    parse_recipe,
)
from sfumato.recipe.network import AmortisedNetwork, PlannedNetwork
from sfumato.tasks.pairs import Layout
from sfumato.tasks.readers import readers_of
from sfumato.training.hardware import find_hardware, total_memory
from sfumato.wording import as_setting, counted

MEASURED_CASES = 200
FEWEST_READ = 8
"""Cases that several read, from which on their disagreement is that of the set."""

DOUBTFUL_PRESENCE = 0.2
"""Share of the images whose readers differ on whether there is anything, from which soft Dice is left out."""

SEEN_IN_EVERY_CALL = 128
"""Pixels of the longest side up to which a U-Net looks at the image in every call; see RESULTS.md."""

ROUNDING = 2 / 255 / math.sqrt(12)
"""Standard deviation of what rounding to 8 bit leaves of images in [-1, 1]: a band with less holds no picture."""

DEFAULT_MINUTES = {"fast": 10, "auto": 30, "best": 120}
"""Length of a training where nobody says, by preset."""

INTENSITIES = 32
FOLDS = 5
"""Runs of a cross-validation; so many patients at least."""

FEW_PATIENTS = 50
"""Fewer patients than this leave a test share too small for a narrow interval."""

_BATCH = {"cpu": 16, "cuda": 64}
"""Images of a step, where memory and the number of cases allow them."""

_FEWEST_VOLUMES, _VOXELS = 2, {"cpu": 2**18, "cuda": 2**21}
"""Patches of volumes in a step at least, and voxels of all of them on a device, where patches are small."""

_MAPS = 40
"""Feature maps of full resolution and width that training keeps for each image: counted for the U-Net of `_network`."""


def preview(recipe: Recipe, found: DiscoveredDataset, *, device: str) -> list[Choice]:
    """What can be planned from a source that is not prepared yet: all but what is measured on prepared images."""
    form, choices = plan_data(recipe, found, device=device)
    patches = form.size is None or isinstance(recipe.data.patch, tuple)
    size: tuple[int, ...] | None = form.size
    if size is None:
        size, more = plan_patch(recipe, median_size(own_sizes(form, found)), device=device)
        choices += more
    refuse_uneven(recipe.data, size)
    size = recipe.data.encoded(size)
    recipe, more = with_network(recipe, size)
    choices += more
    cases = round(form.count(found) * recipe.data.split.train)
    return [
        *choices,
        *(Choice(*each) for each in in_images(recipe, cases)[1]),
        *_length(recipe),
        *_metric(recipe),
        *_network(recipe, size, device=device),
        *_augment(recipe, found.modality, patches=patches),
        *_batch(recipe, size, cases=cases, device=device),
        *_folds(recipe, found.cases),
    ]


def plan_training(recipe: Recipe, dataset: Dataset, *, device: str) -> tuple[Recipe, list[Choice]]:
    """The recipe with every `auto` resolved on the training split."""
    _refuse_other_data(recipe.data, dataset.spec)
    train = dataset.rows("train")
    recipe, counted = in_images(recipe, len(train))
    seen, patches = _seen(recipe, dataset, device=device)
    recipe, kind = with_network(recipe, seen)
    network = _network(recipe, seen, device=device)
    bands = _band_deviations(recipe, dataset)
    choices = [
        *_prepared(recipe.data, dataset),
        *patches,
        *kind,
        *(Choice(*each) for each in counted),
        *_length(recipe),
        *_metric(recipe),
        *network,
        *_augment(recipe, dataset.spec.modality, patches=bool(patches) or isinstance(recipe.data.patch, tuple)),
        *_batch(recipe, seen, cases=len(train), device=device),
        *_folds(recipe, dataset.cases),
        *bands,
        *_sigma_data(_told(recipe, bands), dataset),
        *_dice(recipe, dataset),
        *_critical(recipe, dataset, seen, _strides([*patches, *network], recipe, dataset.spec)),
        *_shares(recipe, dataset),
    ]
    raw = recipe.model_dump(mode="json", by_alias=True)
    raw["data"]["size"] = list(dataset.spec.size) if dataset.spec.size else NATIVE
    if dataset.spec.dimensions == 3:
        raw["data"] |= {"dimensions": 3, "spacing": dataset.spec.voxel}
    if recipe.data.patch == "auto" and not patches:
        raw["data"]["patch"] = "whole"
    return parse_recipe(_chosen(raw, choices), origin="the plan"), choices


def _seen(recipe: Recipe, dataset: Dataset, *, device: str) -> tuple[tuple[int, ...], list[Choice]]:
    """The sides of what the network sees in training.

    Raises:
        UsageError: see `plan_patch`; or patches of images that are to be generated, or larger than every image.
    """
    sizes, patch = [dataset.size(row) for row in dataset.rows("train")], recipe.data.patch
    if isinstance(patch, tuple):
        _refuse_patch(recipe, patch, sizes)
        return patch, []
    if recipe.data.representation == "haar":
        return encoded_shape(recipe.data, dataset.spec)[1:], []
    if dataset.spec.size is not None:
        return dataset.spec.size, []
    return plan_patch(recipe, median_size(sizes), device=device)


def _refuse_patch(recipe: Recipe, patch: tuple[int, ...], sizes: Sequence[tuple[int, ...]]) -> None:
    """Patches that cannot be trained on.

    Raises:
        UsageError: there is no mask to train on, every image is smaller, or they have other axes.
    """
    if recipe.task == "generate":
        raise UsageError("data.patch is for segmentation: a generator makes whole images", remedy="leave it out")
    refuse_other_axes(patch, len(sizes[0]))
    if all(side < limit for size in sizes for side, limit in zip(size, patch, strict=True)):
        largest = " x ".join(map(str, map(max, zip(*sizes, strict=True))))
        raise UsageError(
            f"data.patch={as_setting(list(patch))} exceeds every image, whose sides are up to {largest}",
            expected="patches that fit into the images",
            remedy=f"--set data.patch=auto, or sides of at most {largest}",
        )


def _refuse_other_data(data: DataSection, spec: Spec) -> None:
    """Settings of the preparation mean nothing for data that are prepared: those that differ are not passed over.

    Raises:
        UsageError: the data set was prepared in another way than the recipe says.
    """
    prepared = {
        "size": (data.size, spec.size or NATIVE),
        "keep_aspect": (data.keep_aspect, spec.keep_aspect),
        "crop": (data.crop, spec.crop),
        "dimensions": (data.dimensions, spec.dimensions),
        "neighbours": (data.neighbours or None, spec.neighbours),
        "spacing": (_along_axes(data.spacing, spec), spec.spacing),
        "grey": (data.grey, spec.channels == 1),
        "intensity": (data.intensity, spec.intensity.kind),
        "modality": (data.modality, spec.modality or "unknown"),
        "source.slice_axis": (data.source.slice_axis, spec.slice_axis),
        "source.pages": (data.source.pages, spec.pages),
    }
    other = [
        f"data.{name}: {there} in the data set, {wanted} now"
        for name, (wanted, there) in prepared.items()
        if wanted not in ("auto", False, None, there)
    ]
    if other:
        raise UsageError(
            f"the data set was prepared with other settings:\n{listed(other)}",
            remedy="prepare the source again with these settings, or leave them out",
        )


def _along_axes(spacing: float | tuple[float, ...] | None, spec: Spec) -> float | tuple[float, ...] | None:
    """A spacing as the data have it: of whole volumes along each axis."""
    return (spacing,) * 3 if isinstance(spacing, float) and spec.dimensions == 3 else spacing


def _prepared(data: DataSection, dataset: Dataset) -> list[Choice]:
    """What was decided when the data were prepared, and what the size costs."""
    spec, sharp = dataset.spec, dataset.sharpness
    size = list(spec.size) if spec.size else NATIVE
    cost = [Choice("data.size", size, f"as prepared; {sharp.sentence}")] if sharp and sharp.dice < 1 else []
    choices = [
        Choice("data.intensity", spec.intensity.kind, spec.intensity.text),
        Choice("data.modality", spec.modality or "unknown", "what the files say, or look like"),
    ]
    if spec.slice_axis:
        choices.append(Choice("data.source.slice_axis", spec.slice_axis, "across the thickest slices of most volumes"))
    auto = {"data.intensity": data.intensity, "data.modality": data.modality}
    return [*cost, *(choice for choice in choices if auto.get(choice.choice, data.source.slice_axis) == "auto")]


def _chosen(raw: dict[str, Any], choices: Sequence[Choice]) -> dict[str, Any]:
    """The recipe with the choices laid over it."""
    for choice in choices:
        nested: Any = choice.value
        for key in reversed(choice.choice.split(".")):
            nested = {key: nested}
        raw = merge(raw, nested)
    return raw


def _length(recipe: Recipe) -> list[Choice]:
    train = recipe.train
    if train.steps or train.images or train.epochs or train.minutes:
        return []
    minutes = DEFAULT_MINUTES[recipe.preset]
    return [Choice("train.minutes", minutes, "no length was given (--minutes, --steps, --images or --epochs)")]


def _metric(recipe: Recipe) -> list[Choice]:
    """What decides which weights are best."""
    if recipe.validate_.metric != "auto":
        return []
    if recipe.task == "segment":
        return [Choice("validate.metric", "dice", "of masks as they will be drawn")]
    return [Choice("validate.metric", "loss", "on held-out images: it turns when the model starts to copy")]


def _fits_amortised(recipe: Recipe) -> bool:
    """Whether nothing is said that an amortised network does not know."""
    own = recipe.network.model_dump(mode="json", exclude_defaults=True)
    return not {"attention", "dropout"} & own.keys() and recipe.train.self_condition == 0


def with_network(recipe: Recipe, seen: Sequence[int]) -> tuple[Recipe, list[Choice]]:
    """The recipe with a kind of network and its learning rate, where it leaves them open.

    Args:
        recipe: the recipe.
        seen: the sides of what the network sees.

    Raises:
        UsageError: it sees volumes, and the network images alone.
    """
    refuse_volumes(recipe.network.kind, len(seen))
    network, choices = recipe.network, list[Choice]()
    raw = recipe.model_dump(mode="json", by_alias=True)
    if isinstance(network, PlannedNetwork):
        own = network.model_dump(mode="json", exclude_defaults=True)
        whole = len(seen) == 3
        once = recipe.task == "segment" and (whole or max(seen) > SEEN_IN_EVERY_CALL) and _fits_amortised(recipe)
        raw["network"] = {**own, "kind": "amortised" if once else "unet"}
        if once:
            what = "volumes are" if whole else f"an image of more than {SEEN_IN_EVERY_CALL} pixels is"
            why = f"{what} seen once and drawn from often: a step takes less than a quarter of that of a U-Net"
            choices.append(Choice("network.kind", "amortised", why))
    if recipe.train.learning_rate == "auto":
        raw["train"]["learning_rate"] = LEARNING_RATES.get(raw["network"]["kind"], LEARNING_RATES["unet"])
    return parse_recipe(raw, origin="the plan"), choices


def _network(recipe: Recipe, seen: Sequence[int], *, device: str) -> list[Choice]:
    """Widths that train in the time people have: thousands of steps in a quarter of an hour on two cores."""
    place = training_place(max(seen), dimensions=len(seen), device="cuda" if recipe.preset == "best" else device)
    shape = SHAPES.get(recipe.network.kind, {}).get(place, {})
    auto = {name: value for name, value in shape.items() if getattr(recipe.network, name) == "auto"}
    why = f"for {TRAINING_PLACES[place]}" + (", as preset best is" if recipe.preset == "best" else "")
    return [Choice(f"network.{name}", value, why) for name, value in auto.items()]


def _augment(recipe: Recipe, modality: str | None, *, patches: bool) -> list[Choice]:
    if recipe.data.augment != "auto":
        return []
    ranges, reason = choose(modality, task=recipe.task, patches=patches)
    return [Choice("data.augment", {name: far for name, far in ranges._asdict().items() if far} or "none", reason)]


def _batch(recipe: Recipe, size: tuple[int, ...], *, cases: int, device: str) -> list[Choice]:
    """The largest power of two up to `_BATCH` that half of the memory and the number of cases allow; fewer volumes."""
    if recipe.train.batch != "auto":
        return []
    wanted, memory = _BATCH.get(device, _BATCH["cuda"]), _memory(device)
    if len(size) == 3:
        wanted = min(wanted, max(_FEWEST_VOLUMES, _VOXELS.get(device, _VOXELS["cuda"]) // math.prod(size)))
    channels = getattr(recipe.network, "channels", "auto")
    width = 64 if channels == "auto" else int(channels)
    fitting = memory / 2 / (4 * _MAPS * width * math.prod(size))
    batch = 2 ** int(math.log2(max(1.0, min(wanted, fitting, cases))))
    reason = f"at most {wanted} on {device}, {cases} training cases, {memory / 2**30:.0f} GiB of memory"
    return [Choice("train.batch", batch, reason)]


def _memory(device: str) -> int:
    """Bytes of memory that a device has in all: the same every time, unlike what is free."""
    return find_hardware("cuda:0").memory if device == "cuda" else total_memory()


def _folds(recipe: Recipe, cases: Sequence[Case]) -> list[Choice]:
    """One division or cross-validation; only said, since folds are runs of their own."""
    people = len({case.patient or case.volume or case.id for case in cases})
    if recipe.data.split.folds or people >= FEW_PATIENTS:
        return []
    who = counted(people, "patient" if any(case.patient for case in cases) else "case")
    reason = f"one division was made; with {who} its scores are uncertain"
    if people >= FOLDS:
        reason += (
            f": for cross-validation train {FOLDS} runs with --set data.split.folds={FOLDS} "
            f"--set data.split.fold=0 ... {FOLDS - 1}"
        )
    return [Choice("data.split.folds", 0, reason)]


def _band_deviations(recipe: Recipe, dataset: Dataset) -> list[Choice]:
    """The standard deviation of each channel of a Haar packet; at least that of rounding to the stored numbers."""
    if recipe.data.representation != "haar" or recipe.data.band_deviations:
        return []
    rows = dataset.rows("train", at_most=MEASURED_CASES)
    measured = build_representation(recipe.data).encode(dataset.images(rows)).double().transpose(0, 1).flatten(1).std(1)
    values = [float(f"{value:.4g}") for value in measured.clamp(min=ROUNDING).tolist()]
    reason = f"standard deviations of the {len(values)} channels on {len(rows)} training images in [-1, 1]"
    return [Choice("data.band_deviations", values, reason)]


def _sigma_data(recipe: Recipe, dataset: Dataset) -> list[Choice]:
    if getattr(recipe.process, "sigma_data", None) != "auto":
        return []
    if recipe.task == "segment":
        return [Choice("process.sigma_data", 1.0, "one-hot masks are -1 and 1")]
    rows, layout = dataset.rows("train", at_most=MEASURED_CASES), Layout.of(recipe.data.pairs, dataset.spec)
    images = layout.states(dataset.images(rows), dataset.masks(rows) if layout.paired else None)
    data = build_representation(recipe.data).encode(images)
    measured = round(float(data.std()), 3)
    scale = "in units of their bands" if recipe.data.representation == "haar" else "in [-1, 1]"
    reason = f"standard deviation of {len(rows)} training {layout.contents} {scale}"
    return [Choice("process.sigma_data", max(measured, 0.05), reason)]


def _dice(recipe: Recipe, dataset: Dataset) -> list[Choice]:
    """No soft Dice where readers differ on whether there is anything: an empty mask would be best for all of them.

    A mask that one reader left empty costs soft Dice as much as a whole object that is missed, however small it is.
    """
    usual = DEFAULTS["segment"]["loss"]["dice"]
    if recipe.task != "segment" or dataset.spec.readers < 2 or recipe.loss.dice != usual:
        return []
    rows = dataset.rows("train", at_most=MEASURED_CASES)
    share = float(np.mean([_differ_in_presence(dataset, row) for row in rows]))
    if share < DOUBTFUL_PRESENCE:
        return []
    reason = (
        f"in {share:.0%} of {len(rows)} training images some readers found nothing and others something: soft Dice "
        "would make an empty mask of them; any weight but the usual one stays"
    )
    return [Choice("loss.dice", 0.0, reason)]


def _differ_in_presence(dataset: Dataset, row: int) -> bool:
    """Whether some readers of a case found nothing, and others something."""
    masks = readers_of(dataset, row)
    found = ((masks > 0) & (masks != IGNORED)).reshape(len(masks), -1).any(1)
    return bool(found.any() and not found.all())


def _shares(recipe: Recipe, dataset: Dataset) -> list[Choice]:
    """What smoothed Dirichlet diffusion, and logits that are drawn, must know of the data.

    Raises:
        UsageError: the recipe has another number of classes.
    """
    process = recipe.process
    if not isinstance(process, SDDProcess | SSNProcess):
        return []
    choices, classes = [], len(dataset.spec.mask_classes)
    if recipe.task == "segment" and process.classes == "auto":
        choices.append(Choice("process.classes", classes, "the classes of the masks"))
    elif recipe.task == "segment" and process.classes != classes:
        raise UsageError(
            f"process.classes={process.classes}, but the masks have {classes}", remedy="--set process.classes=auto"
        )
    if isinstance(process, SDDProcess) and recipe.task == "generate" and process.intensities == "auto":
        means = dataset.images(dataset.rows("train", at_most=MEASURED_CASES)).flatten(1).mean(1).numpy()
        quantiles = np.quantile(means, (np.arange(INTENSITIES) + 0.5) / INTENSITIES)
        values = [round(float(value), 3) for value in quantiles]
        reason = f"quantiles of the mean intensity of {len(means)} training images, of no single one"
        choices.append(Choice("process.intensities", values, reason))
    return choices


def _critical(recipe: Recipe, dataset: Dataset, seen: tuple[int, ...], strides: Sequence[int]) -> list[Choice]:
    """The log-SNR at which the readings of a mask separate: -ln(number of entries on which they differ).

    Masks are looked at with the strides of the state, one pixel of each of its blocks.
    """
    if getattr(recipe.process, "critical_log_snr", None) != "auto":
        return []

    def strided(masks: np.ndarray) -> np.ndarray:
        for axis, stride in zip(range(-len(seen), 0), strides, strict=True):
            masks = masks.take(range(stride // 2, masks.shape[axis], stride), axis)
        return masks

    train = dataset.rows("train")
    several = [row for row in train if int(dataset.readings([row])) > 1]
    if len(several) >= min(FEWEST_READ, len(train)):
        rows = evenly(several, MEASURED_CASES)
        differing = np.array(
            [
                _differ(strided(one), strided(other)).sum() * _share(dataset, row, seen)
                for row in rows
                for one, other in combinations(readers_of(dataset, row), 2)
            ]
        )
        what = f"pixels on which two readers differ, of {len(several)} cases that several read,"
    else:
        rows = evenly(train, MEASURED_CASES)
        borders = [_border(strided(dataset.masks(part).numpy())) for part in dataset.alike(rows, len(rows))]
        differing = np.concatenate(borders) * [_share(dataset, row, seen) for row in rows]
        what = "pixels on the border of a mask"
    if dataset.spec.size != seen:
        what += " in a patch"
    typical = max(1.0, float(np.median(differing[differing > 0]))) if (differing > 0).any() else 1.0
    value = round(-math.log(2 * typical), 2)  # each pixel is two entries of a one-hot mask
    return [Choice("process.critical_log_snr", value, f"-ln of twice the median number of {what}, {typical:.0f}")]


def _share(dataset: Dataset, row: int, seen: tuple[int, ...]) -> float:
    """Of an image, what the network sees at once."""
    return min(1.0, math.prod(seen) / math.prod(dataset.size(row)))


def _strides(choices: Sequence[Choice], recipe: Recipe, spec: Spec) -> tuple[int, ...]:
    """Sides in pixels of what is one pixel of the state, when some choices are made: 1 but of amortised networks."""
    if not isinstance(recipe.network, AmortisedNetwork):
        return (1,) * spec.dimensions
    return state_stride(_told(recipe, choices), spec) or (1,) * spec.dimensions


def _told(recipe: Recipe, choices: Sequence[Choice]) -> Recipe:
    """The recipe with some choices made."""
    return parse_recipe(_chosen(recipe.model_dump(mode="json", by_alias=True), choices), origin="the plan")


def _border(masks: np.ndarray) -> np.ndarray:
    """Number of pairs of neighbours along the axes with different classes, for each mask (n, *space)."""
    lengths = masks.shape
    pairs = (
        _differ(masks.take(range(1, lengths[axis]), axis), masks.take(range(lengths[axis] - 1), axis))
        for axis in range(1, masks.ndim)
    )
    count: np.ndarray = sum(differing.reshape(len(masks), -1).sum(1) for differing in pairs)
    return count


def _differ(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two masks say different things; silence is no difference."""
    differing: np.ndarray = (a != b) & (a != IGNORED) & (b != IGNORED)
    return differing
