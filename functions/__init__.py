"""Kinora's functions: `submit`, `dispatch`, `generate`, `status`, and what they share."""
