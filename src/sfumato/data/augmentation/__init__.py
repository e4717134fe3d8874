"""Variations of images and masks, drawn per item and applied to a batch on its device."""
