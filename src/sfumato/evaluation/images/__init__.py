"""Generated images beside real ones: draws, spaces of features, distances with floors, sentences."""
