"""Files of any size: planned, scored in chunks by whoever has time, and joined at the end."""
