"""The log of predictions and of what became true: written aside, queried, exported, pruned."""
