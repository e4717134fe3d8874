"""Frames of a walk: few, the first and last among them, at the contrast of the data."""

from collections.abc import Iterator

import pytest
import torch

from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, cosine
from sfumato.diffusion.process import Step
from sfumato.tasks.trajectory import FRAMES, at_data_contrast, forward_noised, recorded, shown_steps

PROCESSES = {
    "edm": Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5),
    "ddpm": Gaussian(schedule=cosine(), prediction="eps"),
}


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 10, 18, 1000])
def test_few_steps_are_chosen(steps: int):
    numbers = shown_steps(steps)
    assert len(numbers) == min(steps, FRAMES) and numbers[0] == 1 and numbers[-1] == steps
    assert numbers == sorted(set(numbers))


def test_only_the_frames_are_kept():

    def sampling_loop() -> Iterator[Step]:
        for number in range(1, 101):
            yield Step(1 - number / 100, torch.full((1, 1, 2, 2), float(number)), torch.zeros(1, 1, 2, 2))

    frames = list(recorded(PROCESSES["ddpm"], sampling_loop(), 100))
    assert [frame.step for frame in frames] == shown_steps(100)
    assert frames[-1].t == 0 and frames[-1].state.unique().tolist() == [100]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_state_is_seen_at_the_contrast_of_the_data(name: str):
    process, x0 = PROCESSES[name], torch.randn(1, 1, 64, 64)
    times = [0.0, 0.3, 0.6, 1.0]
    states = list(forward_noised(process, x0, times, [3]))
    assert torch.equal(states[0], x0)
    assert all(float(state.std()) == pytest.approx(1.0, abs=0.05) for state in states)
    near, far = (float(torch.corrcoef(torch.stack([x0.flatten(), each.flatten()]))[0, 1]) for each in states[1::2])
    assert near > 0.85 and abs(far) < 0.1


def test_the_noise_is_the_same_at_every_time():
    process, x0 = PROCESSES["edm"], torch.zeros(1, 1, 8, 8)
    first, second = forward_noised(process, x0, [0.5, 1.0], [3])
    torch.testing.assert_close(first / first.std(), second / second.std())


def test_a_process_without_noise_has_nothing_to_see():
    assert not at_data_contrast(Deterministic(), torch.ones(1, 2, 4, 4), 0.5).any()
