"""A model of the delivery of one video, small enough to check every interleaving of events."""
