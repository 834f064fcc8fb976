"""In-memory stand-ins for the servers: they fulfil the same Protocols, and the same tests."""

from tests.fakes.memory_bus import MemoryBus
from tests.fakes.memory_store import MemoryStore

__all__ = ["MemoryBus", "MemoryStore"]
