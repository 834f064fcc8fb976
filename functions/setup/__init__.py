"""The operator's command: makes the streams, the consumers and the bucket, or updates them."""
