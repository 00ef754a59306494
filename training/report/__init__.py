"""The report of a training run, for people."""
