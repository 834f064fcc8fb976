"""When queued and running videos are expected to be completed."""
