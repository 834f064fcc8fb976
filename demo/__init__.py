"""The demo checkpoint, and how it is made."""
