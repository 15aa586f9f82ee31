"""Files of any size: planned, scored in chunks by any worker, and joined at the end."""
