"""The processes: how data become noise, what a network predicts of it, what is minimised, the way back."""
