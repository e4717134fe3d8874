"""Scores of predicted masks: references and predictions in any form, per case and class, with intervals."""
