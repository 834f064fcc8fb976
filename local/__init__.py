"""The local stack: every real server on this machine, no containers and no cluster."""
