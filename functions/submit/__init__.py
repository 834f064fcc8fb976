"""Accepts requests for videos, cancels and deletes them: everything that a caller may change."""
