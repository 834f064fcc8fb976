"""The engine: Mochi 1 in a process of its own, behind a small interface.

`process` is what the HTTP process uses (with `spawned`, its end of the child), and `messages` the
words that both speak; none of them imports torch. The other modules run in the child: `child` (its
main loop), `checkpoint` and `loading` (what is loaded, and how), `rendering` (from a request to
frames) and `media` (from frames to files).
"""
