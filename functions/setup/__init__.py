"""The operator's commands: streams, consumers and bucket; and the file of accounts."""
