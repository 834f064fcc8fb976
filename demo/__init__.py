"""Trains and evaluates the demo checkpoint: a tiny Mochi 1 that runs on a laptop."""
