"""Models with code of their own, run by a service of its own, away from everything else."""
