"""Are generated images copies of patients? A verdict that is calibrated on held-out real images, or none."""

from sfumato.evaluation.copies.audit import CopyAudit, audit_copies
from sfumato.evaluation.copies.detector import CopyDetector, CopyVerdict
from sfumato.evaluation.copies.sheet import closest_pairs

__all__ = ["CopyAudit", "CopyDetector", "CopyVerdict", "audit_copies", "closest_pairs"]
