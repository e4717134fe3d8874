"""sfumato: diffusion models for medical images, from a folder of scans to a number one can trust."""

__version__ = "0.1.0"
