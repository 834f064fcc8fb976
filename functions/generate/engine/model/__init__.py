"""The ranks' side of the engine. Only modules in this package import torch or diffusers."""
