"""The operator's command: creates or updates the streams, the consumers and the bucket."""
