"""The servers that `submission.py` compares Kinora with: a lower bound and two alternatives."""
