"""Renders one video at a time with Mochi and publishes its progress."""
