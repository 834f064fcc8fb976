"""Sends events of videos to a Broker, or to any other sink (`FORWARD_EVENTS`)."""
