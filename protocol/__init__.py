"""A model of how one video is delivered, small enough to look at every order of events."""
