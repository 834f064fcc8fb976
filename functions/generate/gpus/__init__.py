"""Watches the replica's GPUs through NVIDIA's management library, NVML."""
