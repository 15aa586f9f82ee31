"""Databases as sources: connections, and sessions that read and never write."""
