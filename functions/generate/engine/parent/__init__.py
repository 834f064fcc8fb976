"""The engine as the HTTP process uses it: starts, watches and ends the processes of the model.

Nothing here imports torch, nor anything of `functions.generate.engine.model`.
"""
