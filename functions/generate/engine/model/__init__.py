"""What runs in the engine's processes: the only modules that import torch or diffusers."""
