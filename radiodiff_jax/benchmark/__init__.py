"""How long things take and what stands in the way: timed after compilation, without trained weights or a data set."""
