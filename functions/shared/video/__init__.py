"""The domain: requests, limits, progress and events of videos. Imports no streams and no HTTP."""
