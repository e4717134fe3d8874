"""Floor 1: the mathematics of diffusion. torch only; no files, no prints, no globals."""
