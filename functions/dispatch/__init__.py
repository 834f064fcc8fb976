"""The event source: moves requests from JetStream to `generate`, one open HTTP request a video."""
