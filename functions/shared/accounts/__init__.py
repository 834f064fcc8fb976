"""The file of accounts: their API keys, their limits, and whom to notify of their videos."""
