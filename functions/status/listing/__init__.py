"""The table of all videos in SQLite, and the filtered, paginated queries on it."""
