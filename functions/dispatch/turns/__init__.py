"""Gives each request its turn: which one is next, and the deliveries of turns."""
