"""Tables: their columns, and one reading of a row for every entrance."""
