"""Losses and samplers as pure functions; nothing here knows of files, steps, devices or optimizers."""
