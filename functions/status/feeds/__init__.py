"""The event streams of `GET /v1/events`: as many clients as threads allow, in bounded memory."""
