"""Partitions of a declared table: its files, its contract, and the keys by which it is cut."""
