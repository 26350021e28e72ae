"""Coordinates in which a map is predicted: pixels, or the latent of an autoencoder."""
