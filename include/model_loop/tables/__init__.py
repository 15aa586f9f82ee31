"""Tables: one reader of files for any of them, from bytes to typed columns."""
