"""What `submission.py` measures Kinora beside: the least that could be done, and two others."""
