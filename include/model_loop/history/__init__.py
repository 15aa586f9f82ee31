"""A new partition of a table against the partitions before it; no table is named here."""
