"""NATS JetStream: how events are stored, read, followed and kept in order. Knows no HTTP."""
