"""What is written of each segmented image or volume, in the form, size and geometry of its input.

    PREDICTIONS/  masks/ probability/ uncertainty/ information/ overlay/ members/ readings/ process/
                  manifest.csv  summary.json

An image gives PNG files. The planes of a volume give one volume: NIfTI with the input's shape, axes and fields of
geometry (those of a NIfTI as they are) and nothing else of its header; a DICOM segmentation where the input is DICOM.
Overlays and the process are pictures of single planes; overlays of a model that sees whole volumes, of planes in three
directions.

The manifest says of each foreground class with which probability it is there, and how large it is (`metrics.size`): as
the members were drawn, before any repair, in the input's own size and geometry. Of a volume the planes of a member are
added up, whatever the model saw at once. With several foreground classes the columns end in _CLASS, as files do.
"""

import math
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
from torch import Tensor

from sfumato.data.channels import channels_within
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.dicom.drawn import write_seg
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import is_nifti, write_volume
from sfumato.data.formats.origin import Origin
from sfumato.data.formats.scan import read_volume
from sfumato.data.formats.volume import Axis, Volume, as_stored, first_plane, place_in, spacing
from sfumato.data.manifest import Case, file_names
from sfumato.data.pixel_size import pixel_size
from sfumato.data.placement import Placement
from sfumato.data.spec import Spec
from sfumato.data.three_planes import fullest, three_planes
from sfumato.data.units import MaskFormat, Unit
from sfumato.errors import UsageError
from sfumato.escape import visible
from sfumato.evaluation.postprocess import Postprocessing
from sfumato.evaluation.review import ErrorRegression, UncertaintyFeatures, uncertainty_features
from sfumato.experiment.inference import Ensemble, Prediction, in_original_size
from sfumato.experiment.pictures import spared_picture
from sfumato.metrics.ensemble import agreement, doubtful_region, mean_entropy
from sfumato.metrics.size import MaskSizes, level_sizes, member_sizes, size_distribution
from sfumato.reporting.figures import TILE, film_pictures, overlay, strip
from sfumato.slabs import slabs

Extra = Literal["probability", "uncertainty", "information", "overlay", "members", "process"]
EXTRAS = get_args(Extra)
ManifestRow = dict[str, Any]
"""A row of the manifest; its columns follow from what is written."""

Put = Callable[[str, str, np.ndarray], str]
"""Writes an array of a kind under a name; the file, as the manifest names it."""

_WHITE: dict[str, np.unsignedinteger[Any]] = {
    "probability": np.uint16(65535),
    "uncertainty": np.uint8(255),
    "information": np.uint8(255),
}
"""The value of 1 in maps as pictures."""

PROCESS_STRIPS = 4
"""Images or volumes whose denoising process is shown."""

READINGS = 8
"""Members that are shown side by side, of as many images as the process is shown of."""

OVERLAYS = 3
"""Planes of a volume that are shown: those with the most foreground."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What is written of each case besides its mask, and in which form.

    Args:
        save: any of probability, uncertainty, information, overlay, members, process.
        form: same: volumes as NIfTI, DICOM as DICOM segmentation; nii: DICOM as NIfTI too; png: every plane a PNG.
        link: write patient, study and references of DICOM images into their segmentations.

    Raises:
        UsageError: a word that means nothing, or `link` in another form.
    """

    save: Collection[Extra] = ("probability", "uncertainty", "overlay", "members", "process")
    form: MaskFormat = "same"
    link: bool = False

    def __post_init__(self) -> None:
        if unknown := [word for word in self.save if word not in EXTRAS]:
            raise UsageError(f"--save {', '.join(unknown)}", expected=f"{', '.join(EXTRAS)}, or none")
        if self.link and self.form != "same":
            finding = f"--link with --format {self.form}"
            raise UsageError(finding, expected="DICOM segmentations", remedy="--format same")

    def check(self, members: int) -> None:
        """Refuse what an ensemble of so many members cannot give.

        Raises:
            UsageError: the disagreement of one.
        """
        if "information" in self.save and members == 1:
            raise UsageError(
                "--save information of a single member, who has nobody to disagree with", remedy="--samples 4, say"
            )

    def without(self, extra: Extra) -> "Writing":
        """The same, but for this."""
        return replace(self, save=[each for each in self.save if each != extra])


AS_INPUT = Writing()
"""In the form of the input, with all that is looked at."""


def parse_extras(words: str) -> list[Extra]:
    """What `--save` names; nothing of none."""
    return [] if words == "none" else [cast(Extra, word.strip()) for word in words.split(",")]


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Writes predictions into a folder.

    Args:
        folder: the folder, made by the caller.
        spec: what the model knows about its data.
        writing: what is written besides masks, and in which form.
        review: what error to expect; None where that is not known.
        origin: what the files say about the model.
        postprocess: how masks are repaired, and nothing else with them; None to leave them as drawn.
    """

    folder: Path
    spec: Spec
    writing: Writing = AS_INPUT
    review: ErrorRegression | None = None
    origin: Origin | None = None
    postprocess: Postprocessing | None = None

    def write(
        self, wanted: Sequence[Unit], ensembles: Iterator[Ensemble], *, pictured: Container[str] = ()
    ) -> Iterator[ManifestRow]:
        """Write each unit as soon as its planes are drawn; its row of the manifest.

        Args:
            wanted: the units.
            ensembles: of all their cases, in order.
            pictured: images whose members are shown side by side.
        """
        for unit in wanted:
            if self.spec.dimensions == 3:
                yield self._whole_volume(unit, ensembles)
            elif unit.volume is None:
                yield self._image(unit, ensembles, side_by_side=unit.id in pictured)
            else:
                yield self._volume(unit, unit.volume, islice(ensembles, len(unit.cases)))

    def recorded(self, wanted: Sequence[Unit]) -> frozenset[str]:
        """The cases whose process is shown: of a volume, its middle plane."""
        strips = PROCESS_STRIPS if "process" in self.writing.save else 0
        if self.spec.dimensions == 3:
            return frozenset(unit.id for unit in wanted[:strips])
        return frozenset(unit.cases[len(unit.cases) // 2].id for unit in wanted[:strips])

    def _image(self, unit: Unit, ensembles: Iterator[Ensemble], *, side_by_side: bool) -> ManifestRow:
        ensemble, seen, maps = self._decided(ensembles)
        numbers = self._numbers(maps, _doubt(maps), [seen])
        files = {"mask": self._png("masks", unit.id, coded(maps.mask, self.spec)), **self._maps(unit, maps, self._png)}
        if "overlay" in self.writing.save:
            with spared_picture(f"the overlay of {unit.id}"):
                files["overlay"] = self._png("overlay", unit.id, overlay(ensemble.picture, maps.mask))
        if side_by_side and "members" in self.writing.save and len(maps.members) > 1:
            with spared_picture(f"the members of {unit.id}"):
                self._at(f"readings/{unit.id}.png").write_bytes(_readings(ensemble.picture, maps.members))
        self._process(unit.id, ensemble)
        return self._row(unit, files, numbers, self._sizes(maps))

    def _decided(self, ensembles: Iterator[Ensemble]) -> tuple[Ensemble, UncertaintyFeatures, Prediction]:
        """The next ensemble, what it says of its error, and its maps with the mask repaired.

        Its members are left out of it: large images fill the memory.
        """
        ensemble = next(ensembles)
        seen, drawn = uncertainty_features(ensemble.members), in_original_size(ensemble)
        maps = drawn._replace(mask=self._repaired(drawn.mask, ensemble.placement))
        return replace(ensemble, members=ensemble.members[:0].copy()), seen, maps

    def _volume(self, unit: Unit, file: Path, ensembles: Iterator[Ensemble]) -> ManifestRow:
        stack, seen, sizes = _Stack.like(file, unit), [], list[MaskSizes]()
        for number, ensemble in enumerate(ensembles):
            drawn = in_original_size(ensemble)
            mask = self._repaired(drawn.mask, ensemble.placement)
            stack.add(unit.cases[number], drawn, mask, self.writing.save)
            sizes.append(self._sizes(drawn))
            if "overlay" in self.writing.save:
                with spared_picture(f"an overlay of {unit.id}"):
                    stack.show(unit.cases[number], ensemble)
            seen.append(uncertainty_features(ensemble.members))
            self._process(unit.id, ensemble)
        put, maps = partial(self._nifti, stack), stack.maps()
        files = {"mask": self._mask_volume(unit.id, file, stack), **self._maps(unit, maps, put)}
        for index, _, picture in stack.shown:
            files["overlay"] = self._png("overlay", f"{unit.id}_{index:03}", picture)
        numbers = self._numbers(maps, stack.doubt, seen)
        return self._row(unit, files, numbers, np.sum(sizes, axis=0), planes=len(stack.mask))

    def _whole_volume(self, unit: Unit, ensembles: Iterator[Ensemble]) -> ManifestRow:
        """Of a model that sees all planes at once."""
        assert unit.volume is not None, "whole_volumes lets nothing else pass"
        ensemble, seen, maps = self._decided(ensembles)
        numbers, mask, sizes = self._numbers(maps, _doubt(maps), [seen]), maps.mask, self._sizes(maps)
        stack = _Stack.like(unit.volume, unit)
        stack.fill(unit.cases, maps, self.writing.save)
        del maps
        files = {"mask": self._mask_volume(unit.id, unit.volume, stack)}
        files |= self._maps(unit, stack.maps(), partial(self._nifti, stack))
        if "overlay" in self.writing.save:
            with spared_picture(f"the overlay of {unit.id}"):
                files["overlay"] = self._png("overlay", unit.id, self._three_planes(ensemble.picture, mask, stack))
        self._process(unit.id, ensemble)
        return self._row(unit, files, numbers, sizes, planes=len(mask))

    def _three_planes(self, picture: np.ndarray, mask: np.ndarray, stack: "_Stack") -> np.ndarray:
        """A volume and its mask, where there is most to be seen."""
        look = partial(
            three_planes, at=fullest([mask]), spacing=spacing(stack.volume.affine, stack.axis), axis=stack.axis
        )
        return overlay(look(picture, nearest=False), look(mask, nearest=True))

    def _repaired(self, mask: np.ndarray, placement: Placement) -> np.ndarray:
        """The mask that is written of an image or plane, from that which was drawn."""
        return mask if self.postprocess is None else self.postprocess.of(mask, scale=placement.pixels_each)

    def _origin_of(self, kind: str) -> Origin | None:
        """What a file of a kind says about the model; that of a mask also how it was repaired."""
        words = "" if self.postprocess is None else self.postprocess.words(self.spec.mask_classes)
        if self.origin is None or kind != "masks" or not words:
            return self.origin
        return replace(self.origin, facts={**self.origin.facts, "Postprocessing": visible(words)})

    def _maps(self, unit: Unit, maps: Prediction, put: Put) -> dict[str, str]:
        """Write what is wanted besides the mask, as pictures or volumes."""
        files = {}
        if "probability" in self.writing.save:
            for name, probability in self._by_class(unit.id, maps.probability):
                written = put("probability", name, probability)
            files["probability"] = written if self._binary else "probability"
        if "uncertainty" in self.writing.save:
            files["uncertainty_map"] = put("uncertainty", unit.id, maps.entropy)
        if "information" in self.writing.save:
            files["information_map"] = put("information", unit.id, maps.information)
        if "members" in self.writing.save and len(maps.members) > 1:
            for number, member in enumerate(maps.members):
                put("members", f"{unit.id}_{number:02}", coded(member, self.spec))
        return files

    @property
    def _binary(self) -> bool:
        return len(self.spec.mask_classes) == 2

    def _by_class(self, name: str, probability: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The probability of each foreground class with the name of its file."""
        for index, ending in enumerate(self._class_endings(), start=1):
            yield f"{name}{ending}", probability[index]

    def _mask_volume(self, name: str, source: Path, stack: "_Stack") -> str:
        if self.writing.form == "same" and is_dicom(source) and stack.is_whole:
            target = f"masks/{name}.dcm"
            planes, names = stack.stored(stack.mask), self.spec.mask_classes[1:]
            write_seg(
                self._at(target), planes, source, names=names, origin=self._origin_of("masks"), link=self.writing.link
            )
            return target
        return self._nifti(stack, "masks", name, coded(stack.mask, self.spec))

    def _nifti(self, stack: "_Stack", kind: str, name: str, planes: np.ndarray) -> str:
        target = f"{kind}/{name}.nii.gz"
        values = planes.astype(np.float32) if planes.dtype.kind == "f" else planes
        write_volume(
            self._at(target),
            stack.stored(values),
            stack.volume.affine,
            origin=self._origin_of(kind),
            like=stack.file if stack.is_whole and is_nifti(stack.file) else None,
        )
        return target

    def _png(self, kind: str, name: str, pixels: np.ndarray) -> str:
        target = f"{kind}/{name}.png"
        if pixels.dtype.kind == "f":
            pixels = _whole_numbers(pixels, _WHITE[kind])
        origin = self._origin_of(kind)
        write_image(self._at(target), pixels, text=None if origin is None else origin.texts())
        return target

    def _process(self, name: str, ensemble: Ensemble) -> None:
        """The first member's way from noise and back into it, as a strip and an animation."""
        if ensemble.trajectory is None or len(ensemble.trajectory.steps) < 2:
            return
        with spared_picture(f"the process of {name}"):
            shown = partial(_foreground, classes=len(self.spec.mask_classes))
            sheet, moving = film_pictures(
                ensemble.trajectory.steps, *(list(map(shown, kind)) for kind in ensemble.trajectory[1:])
            )
            self._at(f"process/{name}.png").write_bytes(sheet)
            self._at(f"process/{name}.gif").write_bytes(moving)

    def _at(self, target: str) -> Path:
        path = self.folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _numbers(self, maps: Prediction, doubt: "_Doubt", seen: Sequence[UncertaintyFeatures]) -> dict[str, float]:
        """What the manifest says of a mask."""
        numbers = {
            "area": float((maps.mask > 0).mean()),
            **({} if self.review is None else {"expected_error": self.review.expected_error(seen)}),
            "uncertainty": doubt.entropy,
            "information": doubt.information,
            "agreement": agreement(_cropped(maps.members), classes=len(self.spec.mask_classes)),
        }
        return {name: round(value, 6) for name, value in numbers.items()}

    def _sizes(self, maps: Prediction) -> MaskSizes:
        """Pixels of each foreground class in each member; of a single one in the masks that its probabilities mean."""
        if len(maps.members) == 1:
            return level_sizes(maps.probability)
        return member_sizes(maps.members, classes=len(self.spec.mask_classes))

    def _row(
        self, unit: Unit, files: dict[str, str], numbers: dict[str, float], sizes: MaskSizes, *, planes: int = 1
    ) -> ManifestRow:
        source = str(unit.volume) if unit.volume else unit.cases[0].image
        drawn = {"planes": len(unit.cases)} if unit.volume else {}
        return {"id": unit.id, "input": source, **drawn, **files, **numbers, **self._told_sizes(unit, sizes, planes)}

    def _told_sizes(self, unit: Unit, sizes: MaskSizes, planes: int) -> ManifestRow:
        """Presence and size of each foreground class, and the unit of the sizes."""
        found, pixel = size_distribution(sizes), pixel_size(unit.cases[0].image, planes=planes)
        columns: ManifestRow = {}
        for index, ending in enumerate(self._class_endings()):
            columns[f"presence_probability{ending}"] = round(float(found.presence[index]), 6)
            columns[f"expected_size{ending}"] = _six_digits(found.expected[index] * pixel.covers)
            columns[f"size_low{ending}"] = _six_digits(found.low[index] * pixel.covers)
            columns[f"size_high{ending}"] = _six_digits(found.high[index] * pixel.covers)
        return {**columns, "size_unit": pixel.unit}

    def _class_endings(self) -> list[str]:
        """What names of each foreground class end in: nothing where there is one."""
        if self._binary:
            return [""]
        return [f"_{name}" for name in file_names(self.spec.mask_classes[1:])]


class _Doubt(NamedTuple):
    """How much an image deserves a second look: means over its doubtful region, each in [0, 1].

    Attributes:
        entropy: predictive entropy: all doubt.
        information: mutual information: what the members disagree about.
    """

    entropy: float
    information: float


def _doubt(maps: Prediction) -> _Doubt:
    region = doubtful_region(maps.probability)
    return _Doubt(mean_entropy(maps.probability, region), float(maps.information[region].mean()))


@dataclass(kw_only=True)
class _Stack:
    """The planes of a volume while they are predicted; what was not predicted is background.

    Arrays are (planes, ...) in the order of `Volume.planes`; 16-bit floats keep large scans within memory.
    """

    file: Path
    volume: Volume
    axis: Axis
    mask: np.ndarray
    entropy: np.ndarray
    information: np.ndarray
    probability: np.ndarray
    members: np.ndarray
    shown: list[tuple[int, int, np.ndarray]] = field(default_factory=list)
    doubts: list[_Doubt] = field(default_factory=list)

    @classmethod
    def like(cls, file: Path, unit: Unit) -> "_Stack":
        whole = read_volume(file)
        axis = place_in(whole, Locator.parse(unit.cases[0].image)).axis
        volume = first_plane(whole, axis) if channels_within(unit.cases[0]) == "planes" else whole
        shape = volume.planes(axis).shape[:3]
        empty = np.zeros((shape[0], 0, *shape[1:]), np.float16)
        return cls(
            file=file,
            volume=volume,
            axis=axis,
            mask=np.zeros(shape, np.uint8),
            entropy=np.zeros(shape, np.float16),
            information=np.zeros(shape, np.float16),
            probability=empty,
            members=empty.astype(np.uint8),
        )

    def add(self, case: Case, prediction: Prediction, mask: np.ndarray, save: Collection[Extra]) -> None:
        """Lay one plane in, with the mask that is written of it; the doubt is that of the mask as drawn."""
        index = self._index(case)
        if not self.members.shape[1]:
            planes, _, *size = self.members.shape
            self.members = np.zeros((planes, len(prediction.members), *size), np.uint8)
            if "probability" in save:
                self.probability = np.zeros((planes, len(prediction.probability), *size), np.float16)
        self.mask[index], self.entropy[index] = mask, prediction.entropy
        self.members[index], self.information[index] = prediction.members, prediction.information
        if "probability" in save:
            self.probability[index] = prediction.probability
        if prediction.mask.any():
            self.doubts.append(_doubt(prediction))

    def fill(self, cases: Sequence[Case], prediction: Prediction, save: Collection[Extra]) -> None:
        """Lay all planes in, of a prediction of them together."""
        places = [self._index(case) for case in cases]
        planes, size = len(self.mask), self.mask.shape[1:]
        self.mask[places], self.entropy[places] = prediction.mask, prediction.entropy
        self.information[places] = prediction.information
        self.members = np.zeros((planes, len(prediction.members), *size), np.uint8)
        self.members[places] = prediction.members.swapaxes(0, 1)
        if "probability" in save:
            self.probability = np.zeros((planes, len(prediction.probability), *size), np.float16)
            self.probability[places] = prediction.probability.swapaxes(0, 1)

    def show(self, case: Case, ensemble: Ensemble) -> None:
        """Remember the pictures of the planes with the most foreground."""
        index = self._index(case)
        picture = overlay(ensemble.picture, self.mask[index])
        self.shown.append((index, int((self.mask[index] > 0).sum()), picture))
        self.shown.sort(key=lambda item: (-item[1], item[0]))
        del self.shown[OVERLAYS:]

    def _index(self, case: Case) -> int:
        return place_in(self.volume, Locator.parse(case.image)).number

    def maps(self) -> Prediction:
        """All planes together: (classes or members, planes, h, w)."""
        members, probability = (np.moveaxis(each, 1, 0) for each in (self.members, self.probability))
        return Prediction(probability, members, self.mask, self.entropy, self.information)

    @property
    def doubt(self) -> _Doubt:
        """Mean over the planes with foreground; 0 where there is none."""
        return _Doubt(*np.mean(self.doubts, axis=0).tolist()) if self.doubts else _Doubt(0.0, 0.0)

    @property
    def is_whole(self) -> bool:
        """Whether the mask has the planes of the file, which an image whose channels they are has not."""
        return self.volume.voxels.shape == read_volume(self.file).voxels.shape

    def stored(self, planes: np.ndarray) -> np.ndarray:
        """Planes as voxels in the order of the input file."""
        return as_stored(planes, self.axis, self.volume.affine)


def _foreground(mask: Tensor, *, classes: int) -> np.ndarray:
    """A one-hot mask in [-1, 1], or a state of one, as a picture: white where any foreground is."""
    share = (1 - mask[0]) / 2 if len(mask) == classes else (1 + mask.amax(0)) / 2
    picture: np.ndarray = (share * 255).clamp(0, 255).byte().numpy()[..., None]
    return picture


def _cropped(masks: np.ndarray) -> np.ndarray:
    """Masks (k, ...) cut to the box of their foreground, which is all that their agreement depends on."""
    for axis in range(1, masks.ndim):
        filled = np.flatnonzero(masks.any(axis=tuple(other for other in range(masks.ndim) if other != axis)))
        first, last = (filled[0], filled[-1]) if len(filled) else (0, 0)
        masks = masks[(slice(None),) * axis + (slice(first, last + 1),)]
    return masks


def _readings(picture: np.ndarray, members: np.ndarray) -> bytes:
    """The first members side by side on the image, made small first: outlines of one pixel would be dotted by it."""
    step = math.ceil(max(picture.shape[:2]) / TILE)
    shown = [overlay(picture[::step, ::step], member[::step, ::step]) for member in members[:READINGS]]
    return strip(shown, [f"member {number}" for number in range(len(shown))])


def _six_digits(size: float) -> float:
    """A size without the digits that nobody measured."""
    return float(f"{size:.6g}")


def coded(mask: np.ndarray, spec: Spec) -> np.ndarray:
    """Class indices as the training masks stored them (0/255, say), in the smallest unsigned type that holds them."""
    rule = spec.mask_rule
    values = np.array(rule.values if rule is not None and rule.values else (0, 255))
    table = values.astype(np.uint8 if values.max() < 256 else np.uint16)
    stored = np.empty(mask.shape, table.dtype)
    for part in slabs(mask.shape):
        stored[part] = table[mask[part]]
    return stored


def _whole_numbers(shares: np.ndarray, white: np.unsignedinteger[Any]) -> np.ndarray:
    """Shares in [0, 1] as whole numbers, of which `white` is 1."""
    stored = np.empty(shares.shape, white.dtype)
    for part in slabs(shares.shape):
        stored[part] = (shares[part] * int(white)).round()
    return stored
