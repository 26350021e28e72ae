"""State, compiled steps, the loop, checkpoints and run folders: everything a training is but its model."""
