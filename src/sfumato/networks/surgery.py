"""Weights of one network as the start of another: which tensor goes where, and what is done to those that do not fit.

Everything between the first and the last convolution is taken as it is, by name and shape. With W the first filters
(out, in, k, k) of a network f of images of c channels,

    grey from RGB     W' = sum_c W,      f'(x) = mean_c f(x, x, x)_c                                     (1)
    RGB from grey     W' = W / 3 three times,   f'(x)_c = f(mean_c x_c)                                  (2)
    shown an image    W' = [W, 0]:              f'(x, image) = f(x)                                      (3)

and the last filters are averaged (1) or repeated (2). An embedding of classes that f had not starts at zero, so no
class means anything yet; where f knew classes, one that has the same name keeps its row and every other starts as f's
'no class'. Where f' has no classes, the row of 'no class' is added to the bias of the layer that it was added to. So f'
is f before the first step, on all that both can be given.

A generator becomes a network of masks in another way: what knew how to look at images, its first filters, now looks at
the conditioning image, the filters of the state start at zero and so does the head, whose answer means another thing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from sfumato.errors import ModelError, UsageError

_Task = Literal["segment", "generate"]
_GREY, _RGB = 1, 3


class Signature(NamedTuple):
    """What goes into a network and comes out.

    Attributes:
        task: of what the state is: masks (segment) or images (generate).
        state: channels of the state, first in the input.
        image: channels of the conditioning image.
        estimate: channels of an estimate that the network is shown, last in the input.
        answers: numbers that it says of each channel of the state; 2 with a learned variance.
        classes: names of the classes of `condition.label`.
    """

    task: _Task
    state: int
    image: int = 0
    estimate: int = 0
    answers: int = 1
    classes: tuple[str, ...] = ()


class _Places(NamedTuple):
    """Names of the modules of a network that depend on its signature.

    Attributes:
        stem: the first convolution.
        head: the last one.
        label: the embedding of classes, a row for each and the last for 'no class'.
        join: the linear layer to whose output a row of it is added.
        augment: the linear layer of what is told about augmentation, without a bias; empty where nothing is told.
        early: a row is added to what goes into `join`, not to what comes out.
    """

    stem: str
    head: str
    label: str
    join: str
    augment: str = ""
    early: bool = False


_OURS = _Places("stem", "head", "embed.label", "embed.leave", "embed.augment")

TENSOR_PLACES: Mapping[str, _Places] = {
    "unet": _OURS,
    "adm": _OURS,
    "ddpmpp": _OURS._replace(join="embed.enter", early=True),
    "monai": _Places("network.conv_in.conv", "network.out.2.conv", "network.class_embedding", "network.time_embed.2"),
    **dict.fromkeys(
        ("diffusers", "pretrained"),
        _Places("network.conv_in", "network.conv_out", "network.class_embedding", "network.time_embedding.linear_2"),
    ),
}
"""Where these are, for each kind of network; of other kinds tensors are taken whole or not at all."""


@dataclass
class Report:
    """What became of every tensor, by name.

    Attributes:
        matched: taken as they are.
        adapted: taken with other channels or rows.
        new: of this network alone.
        unused: of the other network alone.
    """

    matched: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def unnamed(table: Tensor, classes: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """An embedding whose rows have no names as one of these classes, the last row for 'no class'.

    Rows are taken in order where there are as many as classes, or one more, which then is 'no class'. Else nobody can
    say what they mean: every class starts as their mean, which also is 'no class' where it has no row.
    """
    mean = table.mean(0, keepdim=True)
    if len(table) == len(classes) + 1:
        return table, tuple(classes)
    return (torch.cat([table, mean]), tuple(classes)) if len(table) == len(classes) else (mean, ())


@torch.no_grad()
def transplant(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    places: _Places | None,
    donor: Signature,
    own: Signature,
    source: str,
) -> Report:
    """Give a network the weights of another.

    Args:
        network: takes them, freshly built.
        tensors: the other network's, by name.
        places: names of the parts that depend on a signature, the same in both; None if they are not known.
        donor: what goes into the other network and comes out.
        own: the same of `network`.
        source: where the weights come from, for messages.

    Returns:
        What became of every tensor.

    Raises:
        UsageError: the other network is of masks and this one of images.
        ModelError: not one tensor fits.
    """
    if donor.task == "segment" and own.task == "generate":
        raise UsageError(
            f"{source} is a model of masks, which says nothing of how images come about",
            expected="a model of images",
            remedy="give another --init, or train without it",
        )
    given = dict(tensors) if places is None else _Surgeon(donor, own).operate(tensors, places, network.state_dict())
    report, silent = Report(), [] if places is None else _silent(places)
    for name, fresh in network.state_dict().items():
        fitting = given.get(name)
        if fitting is None or fitting.shape != fresh.shape:
            report.new.append(name)
            if name in silent:
                fresh.zero_()
            continue
        fresh.copy_(fitting)
        (report.matched if fitting is tensors.get(name) else report.adapted).append(name)
    taken = {*report.matched, *report.adapted}
    report.unused.extend(name for name in tensors if name not in taken)
    _refuse_nothing(report, network, source)
    return report


def _refuse_nothing(report: Report, network: nn.Module, source: str) -> None:
    if not report.matched:
        name, wanted = next(iter(network.state_dict().items()))
        raise ModelError(
            f"{source}: not one of its {len(report.unused) + len(report.adapted)} tensors fits the network",
            expected=f"tensors such as {name} {tuple(wanted.shape)}",
            remedy="give the recipe the network that these weights were trained with, or leave --init out",
        )


def _silent(places: _Places) -> list[str]:
    """Parameters that say nothing while they are new."""
    return [f"{places.head}.weight", f"{places.head}.bias", f"{places.label}.weight", f"{places.augment}.weight"]


class _Surgeon(NamedTuple):
    """Adapts the tensors that depend on a signature.

    Attributes:
        donor: of the network that gives.
        own: of the network that takes.
    """

    donor: Signature
    own: Signature

    def operate(
        self, tensors: Mapping[str, Tensor], places: _Places, wanted: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The tensors with those that depend on a signature adapted, or left out where nothing can be taken."""
        if self.donor == self.own:
            return dict(tensors)
        changes = {"stem.weight": self._stem, "head.weight": self._head, "head.bias": self._head}
        given: dict[str, Tensor | None] = dict(tensors)
        for place, change in changes.items():
            part, _, kind = place.partition(".")
            name = f"{getattr(places, part)}.{kind}"
            if name in tensors:
                given[name] = self._kept(tensors[name], change(tensors[name]))
        table, bias = f"{places.label}.weight", f"{places.join}.bias"
        if table in tensors and table in wanted:
            given[table] = self._kept(tensors[table], self._rows(tensors[table]))
        elif table in tensors and bias in tensors:
            row = tensors[table][-1]
            given[bias] = tensors[bias] + (tensors[f"{places.join}.weight"] @ row if places.early else row)
        return {name: tensor for name, tensor in given.items() if tensor is not None}

    @property
    def _crosses(self) -> bool:
        return self.donor.task != self.own.task

    def _kept(self, there: Tensor, changed: Tensor | None) -> Tensor | None:
        """The very tensor where nothing was changed, so that it counts as matched."""
        same = changed is not None and changed.shape == there.shape and torch.equal(changed, there)
        return there if same else changed

    def _stem(self, weight: Tensor) -> Tensor:
        """Equations (1) to (3) for state, image and estimate."""
        donor, own = self.donor, self.own
        state, image, estimate = torch.split(weight, [donor.state, donor.image, donor.estimate], 1)
        if self._crosses:
            parts = (_none(weight, own.state), _filters(state, own.image), _none(weight, own.estimate))
        else:
            parts = (_filters(state, own.state), _filters(image, own.image), _filters(estimate, own.estimate))
        return torch.cat(parts, 1)

    def _head(self, weight: Tensor) -> Tensor | None:
        """Averaged or repeated over the channels of the state; further answers are zero at first."""
        if self._crosses or {self.donor.state, self.own.state} not in ({_GREY, _RGB}, {self.own.state}):
            return None
        answers = weight.reshape(self.donor.answers, self.donor.state, *weight.shape[1:])[: self.own.answers]
        if self.own.state < self.donor.state:
            answers = answers.mean(1, keepdim=True)
        spoken = answers.expand(-1, self.own.state, *answers.shape[2:])
        missing = spoken.new_zeros(self.own.answers - len(spoken), *spoken.shape[1:])
        return torch.cat([spoken, missing]).flatten(0, 1)

    def _rows(self, table: Tensor) -> Tensor:
        """Classes of the same name keep their row, the others start as 'no class'."""
        rows = dict(zip(self.donor.classes, table, strict=False))
        return torch.stack([*(rows.get(name, table[-1]) for name in self.own.classes), table[-1]])


def _filters(weight: Tensor, channels: int) -> Tensor:
    """First filters for so many channels, equations (1) to (3); zero for channels that cannot be told apart."""
    found = weight.shape[1]
    if found == channels:
        return weight
    if (found, channels) == (_RGB, _GREY):
        return weight.sum(1, keepdim=True)
    if (found, channels) == (_GREY, _RGB):
        return weight.expand(-1, _RGB, *weight.shape[2:]) / _RGB
    return _none(weight, channels)


def _none(like: Tensor, channels: int) -> Tensor:
    """Filters that see nothing."""
    return like.new_zeros(like.shape[0], channels, *like.shape[2:])
