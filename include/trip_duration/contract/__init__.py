"""Contract of months, the check of it, and the rows that are set aside."""
