"""Sends events of videos to a Broker or another sink (`FORWARD_EVENTS`)."""
