"""In-memory stand-ins for the servers: they fulfil the same Protocols, and the same tests."""

from functions.shared.testing.memory_bus import MemoryBus
from functions.shared.testing.memory_store import MemoryStore

__all__ = ["MemoryBus", "MemoryStore"]
