"""The event source: pulls from JetStream and sends over HTTP.

Three programs share it: `requests` (to `generate`), `webhooks` (to customers' endpoints) and
`forwarding` (to a Broker). The sweeper runs beside `requests`.
"""
