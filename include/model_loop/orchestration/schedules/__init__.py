"""When DAGs run by themselves: timetables, the sensor of months, and what events ask for."""
