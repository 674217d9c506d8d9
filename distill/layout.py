"""Names of the files that say what a folder of distill is, and how far."""

LOCK = ".lock"
"""In a run, a grid and each training of a grid; held by the process that is at work there."""
GRID = "grid.json"
FAILED = "failed.json"
"""In a training of a grid that failed."""
