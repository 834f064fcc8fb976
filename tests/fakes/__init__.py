"""In-memory fakes of the servers: they implement the same Protocols, and pass the same tests."""

from tests.fakes.memory_bus import MemoryBus
from tests.fakes.memory_store import MemoryStore

__all__ = ["MemoryBus", "MemoryStore"]
