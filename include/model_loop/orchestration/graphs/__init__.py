"""The DAGs of a dataset, one module for each job: which tasks there are, and in which order."""
