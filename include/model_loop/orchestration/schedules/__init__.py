"""Schedules of DAGs: timetables, the sensor of months, and the requests of events."""
