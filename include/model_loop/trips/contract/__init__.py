"""What a month must hold, the check of it, and the rows that are set aside."""
