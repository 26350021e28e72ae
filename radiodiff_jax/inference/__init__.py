"""From a trained run to radio maps and to figures of merit."""
