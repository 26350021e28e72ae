"""What can be said of a RadioMapSeer folder: faults, numbers, and how far it is from another."""
