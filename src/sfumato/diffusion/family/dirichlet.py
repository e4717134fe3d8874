"""The Beta and Dirichlet processes: noise that multiplies, for intensities and for classes.

Data are shares: of an image the brightness of each channel, a group of one component; of a mask the foreground classes
of a pixel, one group. With y in [0, 1] a component's share

    x = shift + scale y,    r = sum_k x_k < 1                                                             (1)
    z_t | x ~ Dir(eta alpha_t x_1, ..., eta alpha_t x_K-1, eta (1 - alpha_t r))                            (2)

where the last component, z_0, is the background, which absorbs everything as alpha falls to 0 (see `fading`). Backwards
it hands its mass out again, for s < t and delta = alpha_s - alpha_t:

    z_s,k = z_t,k + z_t,0 p_k,    p ~ Dir(eta delta x_1, ..., eta delta x_K-1, eta (1 - alpha_s r))        (3)

With one component (K = 2) this is Beta diffusion. z is next to 0 or 1 most of the time, so the state is, in float64,

    ell_k = ln z_k - ln z_0;  with p_k / p_0 = e^pi_k, (3) reads
    e^ell_s,k = e^ell_t,k (1 + sum_j e^pi_j) + e^pi_k                                                     (4)

An exact observation of every component, however faint, survives at every alpha: -alpha ln z_t tends to an exponential
law of rate eta x. So states have a floor: at -floor and below there is no mass, e^ell = 0, and once nearly every
component is at the floor whatever x is, the walk may start with all of them there.

The network sees the standardised state (see `dirichlet_moments`). What it answers plus a skip are logits of the
shares: the state it saw (`unit`), or the exact posterior log-odds of a pixel between all and nothing (`log_odds`):

    ln p(ell | class k) / p(ell | background) = eta alpha scale ell_k + ln Gamma(a_0) + ln Gamma(b_0) - ln Gamma(a_1)
        - ln Gamma(b_1) [- ln(a_1 / a_0) at the floor]                                                    (5)

Sources: Zhou et al. 2023 (Beta Diffusion), the published implementation of Smoothed Dirichlet Diffusion.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sfumato.diffusion.family.beta_schedule import BetaSchedule
from sfumato.diffusion.family.divergence import Divergence, smoothing_factor
from sfumato.diffusion.family.moments import dirichlet_moments
from sfumato.diffusion.guidance import guide_one_hot, guide_unit
from sfumato.diffusion.loss import cross_entropy, per_item_mean
from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, State, Times

Grouped = Float[Tensor, "b groups k *space"]
"""Components in their groups."""

Background = Float[Tensor, "b groups 1 *space"]

_FIRST = 1e-5
"""The smallest training time."""

_EARLIER = 0.95
"""s / t in the loss."""

LARGEST_SKIP = 12.0
"""Limit of the log-odds in a skip: logits beyond it have no gradient."""

KLUB = Divergence()
"""The divergence whose minimiser is the posterior mean."""

_Coefficient = float | Tensor


class _Level(NamedTuple):
    """What a time means: floats, or float64 tensors that broadcast over the state."""

    log_alpha: _Coefficient
    logit: _Coefficient
    mean: _Coefficient
    std: _Coefficient


@dataclass(frozen=True, kw_only=True)
class Dirichlet:
    """The Beta process of images, and the Dirichlet process of masks.

    Args:
        kind: of the data: `images` in [-1, 1], or `masks`, one-hot in [-1, 1] with class 0 the background.
        schedule: noise levels and all numbers of the law.
        start: the state at which nothing is visible: every component at the floor, or that of a grey image (of
            undecided pixels), or of a grey image as bright as one of these numbers in [-1, 1], drawn for each item.
        objective: what is minimised.
        skip: what is added to the network's answer.
        smoothing: `reference` divides each new state by `smoothing_factor`.
        covariance: of the standardisation, see `dirichlet_moments`.

    Raises:
        ValueError: a setting does not go with another.
    """

    kind: Literal["images", "masks"]
    schedule: BetaSchedule
    start: Literal["floor", "middle"] | tuple[float, ...] = "floor"
    objective: Divergence | Literal["cross_entropy"] = "cross_entropy"
    skip: Literal["unit", "log_odds"] = "unit"
    smoothing: Literal["none", "reference"] = "none"
    covariance: Literal["exact", "reference"] = "exact"

    def __post_init__(self) -> None:
        if self.start == "floor" and self.schedule.floor is None:
            raise ValueError("a start at the floor needs a schedule with a floor")
        if self.start == ():
            raise ValueError("there is no intensity to start from")
        if self.kind == "masks" and (isinstance(self.start, tuple) or self.smoothing != "none"):
            raise ValueError("masks have no intensity to start from, and one group, across which there is no smoothing")
        if self.kind == "images" and self.schedule.foreground != 1:
            raise ValueError("every channel of an image is a group of one foreground component")

    def channels(self, data: int) -> tuple[int, int]:
        """Those of an image; of masks the classes but the background."""
        if self.kind == "images":
            return data, data
        if data != self.schedule.foreground + 1:
            raise ValueError(f"the schedule is for {self.schedule.foreground + 1} classes, the data have {data}")
        return data - 1, data - 1

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> State:
        """The state of `start` at time t; `like` is data."""
        if self.start == "floor":
            shape = (len(like), self.channels(like.shape[1])[0], *like.shape[2:])
            return like.new_full(shape, -self.schedule.depth, dtype=torch.float64)
        grey = torch.zeros_like(like, dtype=torch.float64)
        if isinstance(self.start, tuple):
            means = torch.tensor(self.start, dtype=torch.float64, device=like.device)
            drawn = means[(noise.uniform().to(like.device) * len(means)).long()]
            grey = grey + drawn.view(-1, *[1] * (like.ndim - 1))
        elif self.kind == "masks":
            grey = grey + (2 / like.shape[1] - 1)
        return self.corrupt(grey, t, noise)

    def times(self, u: PerItem) -> PerItem:
        """Uniform on (0, 1]."""
        return _FIRST + (1 - _FIRST) * u

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> State:
        """Equation (2)."""
        x = self.foreground(x0)
        a = self.schedule.eta * _exp(self._level(t, x).log_alpha) * x
        ell = _log_ratio(a, self.schedule.eta - a.sum(2, keepdim=True), noise)
        depth = self.schedule.depth
        if self.smoothing == "reference":
            factor = smoothing_factor(ell.clamp(min=-depth)).view(-1, *[1] * (ell.ndim - 1))
            ell = torch.where(ell > -depth, ell / factor, -depth)
        return self._ungrouped(ell.clamp_(min=-depth))

    def log_marginal(self, x_t: State, x0: Data, t: Times) -> PerItem:
        """Log of the density (2) of ell, or of the mass at the floor, up to a constant."""
        x, ell = self.foreground(x0), self._grouped(x_t)
        a = self.schedule.eta * _exp(self._level(t, x).log_alpha) * x
        background = self.schedule.eta - a.sum(2, keepdim=True)
        at_floor = ell <= -self.schedule.depth
        each = a * ell - torch.lgamma(a) - torch.where(at_floor, a.log(), 0.0)
        return each.flatten(1).sum(1) - torch.lgamma(background).flatten(1).sum(1)

    def network_input(self, x_t: State, t: Times) -> tuple[State, PerItem]:
        """The standardised state, float32, and -logit alpha / 8."""
        label = self._level(t, x_t).logit
        label = label.flatten() if isinstance(label, Tensor) else torch.full((len(x_t),), label, device=x_t.device)
        return self._standardised(x_t, t).float(), (label / -8).float()

    def logits(self, output: State, x_t: State, t: Times) -> State:
        """Of each component's share, from the network's answer."""
        if self.skip == "unit":
            return output + self._standardised(x_t, t)
        return output + self.log_odds(x_t, t).clamp(-LARGEST_SKIP, LARGEST_SKIP)

    def estimate(self, output: State, x_t: State, t: Times) -> Data:
        """x0_hat: the sigmoid of the logits of images, the softmax of those of masks and of the background's, 0."""
        logits = self.logits(output, x_t, t)
        shares = logits.sigmoid() if self.kind == "images" else _scores(logits).softmax(1)
        return shares.mul(2).sub_(1)

    def loss(self, output: State, x0: Data, x_t: State, t: Times) -> PerItem:
        """The mean over elements of the divergence, or of the cross-entropy."""
        if self.objective == "cross_entropy":
            logits = self.logits(output, x_t, t)
            if self.kind == "masks":
                return cross_entropy(_scores(logits), x0)
            share = ((x0 + 1) / 2).clamp(0, 1).to(logits.dtype)
            return per_item_mean(functional.binary_cross_entropy_with_logits(logits, share, reduction="none"))
        x, x_hat = self.foreground(x0), self.foreground(self.estimate(output, x_t, t))
        times = t if isinstance(t, Tensor) else x.new_full((len(x),), t)
        later, sooner = (_view(self.schedule.log_alpha(share * times.double()), x) for share in (1.0, _EARLIER))
        return per_item_mean(
            self.objective(
                x,
                x_hat,
                eta=self.schedule.eta,
                alpha_t=later.exp(),
                alpha_s=sooner.exp(),
                delta=later.exp() * torch.expm1(sooner - later),
            )
        )

    def reverse(self, x_t: State, x0_hat: Data, t: float, s: float, noise: Noise) -> State | Data:
        """x_s from equation (3); at s = 0 the estimate itself."""
        return x0_hat if s == 0 else self.move(x_t, x0_hat, t, s, noise)

    def move(self, x_t: State, x0_hat: Data, t: float, s: float, noise: Noise) -> State:
        """Equations (3) and (4), also to s = 0, where the state is log-ratios of x itself but for noise."""
        eta, depth = self.schedule.eta, self.schedule.depth
        x, ell = self.foreground(x0_hat), self._grouped(x_t)
        later, sooner = (_at(self.schedule, self.covariance, time).log_alpha for time in (t, s))
        delta = math.exp(later) * math.expm1(sooner - later)
        handed = _log_ratio(eta * delta * x, eta - eta * math.exp(sooner) * x.sum(2, keepdim=True), noise).exp_()
        mass = functional.threshold(ell, -depth, -math.inf).exp_()
        mass = mass.mul_(1 + handed.sum(2, keepdim=True)).add_(handed)
        return self._ungrouped(mass.log_().clamp_(min=-depth))

    def data(self, estimate: Output) -> Data:
        """All of it."""
        return estimate

    def guide(self, weak: Data, strong: Data, scale: float) -> Data:
        """In logits of brightness, or in log-probabilities of classes."""
        return (guide_unit if self.kind == "images" else guide_one_hot)(weak, strong, scale)

    def log_odds(self, x_t: State, t: Times) -> State:
        """Equation (5): exact for a pixel that is nothing or all of one class, both as likely before."""
        log_alpha = self._level(t, x_t).log_alpha
        alpha = log_alpha.exp() if isinstance(log_alpha, Tensor) else x_t.new_tensor(log_alpha).exp()
        (a_0, b_0), (a_1, b_1) = (self.schedule.concentrations(alpha, present=present) for present in (False, True))
        constant = torch.lgamma(a_0) + torch.lgamma(b_0) - torch.lgamma(a_1) - torch.lgamma(b_1)
        at_floor = x_t <= -self.schedule.depth
        return (a_1 - a_0) * x_t + constant - torch.where(at_floor, (a_1 / a_0).log(), 0.0)

    def read(self, x: State, t: float) -> Data:
        """The data that a state would be if it had no noise: z / alpha, in [-1, 1] but for noise."""
        alpha = math.exp(_at(self.schedule, self.covariance, t).log_alpha)
        z = x.sigmoid() if self.kind == "images" else _scores(x).softmax(1)[:, 1:]
        share = (z / alpha - self.schedule.shift) / self.schedule.scale
        if self.kind == "masks":
            share = torch.cat([1 - share.sum(1, keepdim=True), share], 1)
        return 2 * share - 1

    def foreground(self, x0: Data) -> Grouped:
        """Equation (1)."""
        shares = (x0 if self.kind == "images" else x0[:, 1:]).double().add(1).mul_(0.5).clamp_(0, 1)
        return self._grouped(shares.mul_(self.schedule.scale).add_(self.schedule.shift))

    def _grouped(self, x: State) -> Grouped:
        return x.unsqueeze(2 if self.kind == "images" else 1)

    def _ungrouped(self, x: Grouped) -> State:
        return x.squeeze(2 if self.kind == "images" else 1)

    def _standardised(self, x_t: State, t: Times) -> State:
        level = self._level(t, x_t)
        return (x_t - level.mean).div_(level.std)

    def _level(self, t: Times, like: Tensor) -> _Level:
        if isinstance(t, Tensor):
            levels = _levels(self.schedule, self.covariance, t.double())
            return _Level(*(_view(torch.as_tensor(numbers), like) for numbers in levels))
        return _at(self.schedule, self.covariance, t)


def for_masks(
    classes: int,
    pixels: int,
    *,
    eta: float = 30.0,
    shift: float = 0.09,
    scale: float | None = None,
    start: float = 10.0,
    end: float | None = None,
    power: float = 1.0,
    objective: Divergence | Literal["cross_entropy"] = "cross_entropy",
    skip: Literal["unit", "log_odds"] = "unit",
) -> Dirichlet:
    """The process of masks with a floor at ln eta + 15, and so little signal at t = 1 that nearly all lies on it.

    Args:
        classes: with the background.
        pixels: of a mask.
        eta: concentration; 10 to 100 suits masks.
        shift: data value of 'nothing'.
        scale: how far it is from there to 'all'; None for up to 0.99 with the shifts of the other foreground classes.
        start: logit alpha at t -> 0.
        end: logit alpha at t = 1; None for so little signal that less than one component is off the floor.
        power: of the time between them.
        objective: see `Dirichlet`.
        skip: see `Dirichlet`.

    Raises:
        ValueError: fewer than two classes, or numbers that allow no such process.
    """
    if classes < 2:
        raise ValueError("masks have two classes or more")
    schedule = BetaSchedule(
        eta=eta,
        shift=shift,
        scale=0.99 - (classes - 1) * shift if scale is None else scale,
        start=start,
        end=-math.log(15 * eta * pixels * (classes - 1)) if end is None else end,
        power=power,
        floor=math.log(eta) + 15,
        foreground=classes - 1,
        entries=2,
    )
    return Dirichlet(kind="masks", schedule=schedule, objective=objective, skip=skip)


def for_images(
    intensities: tuple[float, ...],
    *,
    eta: float = 1e4,
    shift: float = 0.6,
    scale: float = 0.39,
    start: float = 10.0,
    end: float = -13.0,
    power: float = 1.0,
    objective: Divergence | Literal["cross_entropy"] = KLUB,
    smoothing: Literal["none", "reference"] = "none",
) -> Dirichlet:
    """The process of images with the published numbers, which starts as bright as images are.

    Args:
        intensities: mean intensities of images of the data, in [-1, 1].
        eta: concentration.
        shift: data value of black.
        scale: how far it is from there to white.
        start: logit alpha at t -> 0.
        end: logit alpha at t = 1.
        power: of the time between them.
        objective: see `Dirichlet`.
        smoothing: see `Dirichlet`.
    """
    schedule = BetaSchedule(eta=eta, shift=shift, scale=scale, start=start, end=end, power=power)
    return Dirichlet(kind="images", schedule=schedule, start=intensities, objective=objective, smoothing=smoothing)


def _log_ratio(foreground: Grouped, background: Background, noise: Noise) -> Grouped:
    """Logarithms of the ratios of a Dirichlet law's components to its background."""
    drawn = noise.log_gamma(torch.cat([foreground, background], 2))
    return drawn[:, :, :-1] - drawn[:, :, -1:]


def _scores(logits: State) -> Data:
    """The background's score, 0, before those of the other classes."""
    return torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)


def _levels(schedule: BetaSchedule, covariance: Literal["exact", "reference"], t: Tensor) -> _Level:
    """Moments are clipped to a given floor, or the few informative components would vanish in the scaling."""
    deepest = math.inf if schedule.floor is None else schedule.floor
    log_alpha = schedule.log_alpha(t)
    low, high = schedule.shift, schedule.shift + schedule.scale
    mean, std = dirichlet_moments(log_alpha, eta=schedule.eta, low=low, high=high, covariance=covariance)
    return _Level(log_alpha, schedule.logit(t), mean.clamp(min=-deepest), std.clamp(max=deepest))


@lru_cache(maxsize=4096)
def _at(schedule: BetaSchedule, covariance: Literal["exact", "reference"], t: float) -> _Level:
    """Of one time, as floats: a sampler's coefficients are computed once."""
    levels = _levels(schedule, covariance, torch.tensor([t], dtype=torch.float64))
    return _Level(*(float(numbers) for numbers in levels))


def _view(numbers: Tensor, like: Tensor) -> Tensor:
    return numbers.view(-1, *[1] * (like.ndim - 1))


def _exp(value: _Coefficient) -> _Coefficient:
    return value.exp() if isinstance(value, Tensor) else math.exp(value)
