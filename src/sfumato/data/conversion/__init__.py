"""A source in another form: folder, zip, npz, nnU-Net raw."""
