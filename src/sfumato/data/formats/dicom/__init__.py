"""DICOM files, series and segmentations as volumes."""
