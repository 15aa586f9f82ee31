"""Intervals around predictions that hold for later rows, as plain data of any table."""
