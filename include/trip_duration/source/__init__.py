"""Sources of months, and fetching each month once."""
