"""The mathematics of diffusion. torch only; no files, no prints, no globals."""
