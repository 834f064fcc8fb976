"""The engine: Mochi 1 in processes of its own, one for each GPU, behind a small interface.

`process` is what the HTTP process uses (with `supervisor`, `devices`, `group` and `spawned`,
its end of the processes), and `messages` the words that both speak; none of them imports torch.

The other modules run in the processes, of which each is a rank. `child` is their main loop, `ranks`
how they see each other. `checkpoint`, `loading`, `compilation` and `warmup` come before the first
video. `rendering` goes from a request to files: through `encoding` (text), `guidance` and
`attention` (the transformer), `streaming_decode` (latents to frames), `saving` and `media` (frames
to files), while `stages` and `memory` measure.
"""
