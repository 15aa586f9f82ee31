"""Alerts: their contents and layout, and their delivery, once and surely."""
