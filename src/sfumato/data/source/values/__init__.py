"""What values of masks mean: classes, objects, shares of readers, outlines, codes."""
