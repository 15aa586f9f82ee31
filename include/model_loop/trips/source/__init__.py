"""Where months come from, and fetching each of them once."""
