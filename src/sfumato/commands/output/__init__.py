"""What verbs write and say: new folders, shares of long work, predictions, pictures, the console."""
