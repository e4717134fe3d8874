"""A network that draws from torch's generator goes on with the same numbers."""

import torch

from sfumato.training.generators import generator_states, restore_generators

CPU = torch.device("cpu")


def test_numbers_go_on_where_they_were():
    states = {name: state.clone() for name, state in generator_states(CPU).items()}
    expected = torch.randn(5)
    torch.randn(99)
    restore_generators(states, CPU)
    assert torch.equal(torch.randn(5), expected)


def test_states_of_other_devices_and_none_at_all_are_left_out():
    before = torch.get_rng_state()
    restore_generators({"cuda": torch.zeros(16, dtype=torch.uint8)}, CPU)
    restore_generators({}, CPU)
    assert torch.equal(torch.get_rng_state(), before)
