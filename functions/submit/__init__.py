"""Every write that callers may make: create, remix, cancel and delete videos."""
