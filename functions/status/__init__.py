"""Answers queries: the state of a video, the list, the event stream, and files."""
