"""Sample months: generated trips in TLC's schema, for runs without a network and for tests.

They are made up, and say so: the files' metadata and every run that uses them carry the label
``sample``. The same options give the same file, to the byte.
"""

from trip_duration.sample.generator import generate_month, is_sample, write_month

__all__ = ["generate_month", "is_sample", "write_month"]
