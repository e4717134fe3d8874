"""The laws hold for every pair of process and sampler that the documentation promises."""

from importlib.util import module_from_spec, spec_from_file_location
from itertools import product
from pathlib import Path
from types import ModuleType

from sfumato.builder.process import build_process
from sfumato.diffusion.process import Process
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.recipe import load_recipe

from . import test_simplex
from .families import PAIRS, walked

Forms = tuple[str, str]
"""Class of a process and of its noise levels."""


def page() -> ModuleType:
    """`docs/build.py`, which writes the list of pairs."""
    spec = spec_from_file_location("docs_build", Path(__file__).parents[2] / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forms(process: Process) -> Forms:
    return type(process).__name__, type(getattr(process, "schedule")).__name__  # noqa: B009


def covered() -> set[tuple[Forms, str]]:
    """Law 2's pairs of what is walked and by which sampler."""
    pairs = {(forms(walked(name, sampler)), sampler) for name, sampler in PAIRS}
    return pairs | {(forms(process), "ancestral") for process in test_simplex.PROCESSES.values()}


def test_every_pair_of_the_page_is_under_the_laws() -> None:
    kinds = {kind: build_process(load_recipe(task, settings=words)) for kind, (task, words) in page().PROCESSES.items()}
    promised = {
        (kind, name): (forms(SAMPLERS[name].sampled_process(kinds[kind])), name)
        for kind, name in product(kinds, SAMPLERS)
        if SAMPLERS[name].suits(kinds[kind])
    }
    tested = covered()
    assert len(promised) > 5 * len(SAMPLERS)
    assert [pair for pair, needed in promised.items() if needed not in tested] == []
