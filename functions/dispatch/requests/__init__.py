"""Sends requests from the stream REQUESTS to `generate`, one open HTTP request for each video."""
