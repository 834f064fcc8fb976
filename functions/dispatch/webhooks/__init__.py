"""Webhooks: notify endpoints that a video has completed or failed, with signed POSTs."""
