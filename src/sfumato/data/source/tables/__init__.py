"""Tables: which one is about the images, what its columns are for, and what its cells mean."""
