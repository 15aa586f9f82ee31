"""The command line ``trip-duration``: the library without Airflow."""

from trip_duration.cli.app import main

__all__ = ["main"]
