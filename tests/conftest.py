"""Shapes are checked in every test: jaxtyping + beartype wrap the package on import."""

import pytest
import torch
from jaxtyping import install_import_hook

install_import_hook("sfumato", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=8, help="SIGKILLs of each kill test; a fifth as many SIGTERMs")


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--kills")
