"""Import paths of versions before 0.2; see `trip_duration`."""
