"""Drafts of datasets: evidence of a table, findings about it, and the text of its declaration."""
