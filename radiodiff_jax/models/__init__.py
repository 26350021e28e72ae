"""Networks as Flax Linen modules: pure functions of (variables, inputs), images NHWC, no loss and no file in sight."""
