"""Turns one request at a time into a video with Mochi, and reports on it as it goes."""
