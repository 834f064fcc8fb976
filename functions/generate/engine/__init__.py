"""The engine: Mochi 1 in processes of its own, one for each GPU, behind a small interface.

`parent` is the HTTP process's side: it starts the processes, gives them orders and ends them.
`model` is what runs in them, each of which is a rank; only modules there import torch.

Between the two stand `messages`, their vocabulary, and `child`, the main function of a process,
which the parent names and which imports `model` when it runs.

Start reading at `parent.engine`. Inside a process, `checkpoint`, `loading`, `compilation` and
`warmup` come before the first video. `rendering` goes from a request to files: through `encoding`
(text), `guidance` and `attention` (the transformer), `streaming_decode` (latents to frames),
`saving` and `media` (frames to files), while `stages` and `memory` measure and `ranks` joins the
processes.
"""
