"""The HTTP process's side of the engine: starts, supervises, and kills the ranks' processes.

Nothing here imports torch, or anything from `functions.generate.engine.model`.
"""
