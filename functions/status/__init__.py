"""Answers every question about videos: their state, the list, and the files themselves."""
