"""What a video is: its request, its limits, its events. Imports neither streams nor HTTP."""
