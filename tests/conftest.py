"""Shapes are checked in every test: jaxtyping + beartype wrap the package on import."""

import torch
from jaxtyping import install_import_hook

install_import_hook("sfumato", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

torch.set_num_threads(1)
