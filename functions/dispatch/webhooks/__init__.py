"""Webhooks: how a video ended, signed and POSTed to the endpoints of its account."""
