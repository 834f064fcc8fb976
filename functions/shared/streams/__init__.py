"""NATS JetStream and CloudEvents: publishes, reads and follows events. Imports no HTTP code."""
