"""How long things take and what stands in the way: timed after compilation, on random weights and random maps."""
