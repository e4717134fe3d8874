"""The exact denoiser itself equals the golden one."""

import torch

from .gmm import arrays, close, mixture


def test_exact_denoiser_at_the_probes():
    stored = arrays("gmm")
    rows = zip(stored["probe_sigma"], stored["probe_x"], stored["probe_D"], stored["probe_D_cond"], strict=True)
    for s, x, plain, conditional in rows:
        ratios = s.expand(len(x))
        close(mixture().denoised(x, ratios), plain, tolerance=1e-12)
        close(mixture().denoised(x, ratios, stored["labels"]), conditional, tolerance=1e-12)
        close(mixture().denoised(x, ratios, torch.full_like(stored["labels"], 3)), plain, tolerance=1e-12)


def test_log_density_at_the_probes():
    stored = arrays("gmm")
    for s, x, golden in zip(stored["probe_sigma"], stored["probe_x"], stored["probe_logp"], strict=True):
        close(mixture().log_density(x, s.expand(len(x))), golden, tolerance=1e-12)
