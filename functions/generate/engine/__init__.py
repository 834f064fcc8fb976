"""The engine: runs Mochi 1 in child processes, one per GPU, behind a small interface.

Each child process is a rank. `parent` is the HTTP process's side: it starts the ranks, sends them
jobs, and kills them. `model` runs in the ranks; only modules in it import torch. Between the two
are `messages`, the values they exchange, and `child`, a rank's entry point, which the parent names
and which imports `model` only when it runs.

Reading order: `parent.engine`, then `model.serving`. Before the first video come `checkpoint`,
`checksums`, `loading`, `mochi` (the loaded model), `kernel_choice` (what `attention_probe` finds of
`attention_kernels`), `compilation`, and `warmup`. A job then goes through `rendering`:
`text_encoder`, `denoising` (the sampler), `guidance` and `attention` (the transformer),
`streaming_decode` (latents to frames), `recording` and `media` (frames to files). Meanwhile,
`previews` shows what it will look like. `stage_metrics` and `memory` measure, `finite` refuses what
would be a black video, `ranks` synchronizes the processes, and `gpu` knows whether there is a
usable GPU.
"""
