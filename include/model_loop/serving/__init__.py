"""Serving: registered models behind an HTTP application, and the log of what they answered."""
