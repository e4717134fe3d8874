"""Outlines as annotation tools keep them: one small reader for each tool, one way to paint them."""
