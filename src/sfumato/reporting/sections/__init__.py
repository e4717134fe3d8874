"""What the page says about each kind of folder: a reader for each, and the parts that several share."""
