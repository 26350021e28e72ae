"""RadioMapSeer folders packed into ArrayRecord files that TFDS reads: how they are built, by Beam too, and read."""
