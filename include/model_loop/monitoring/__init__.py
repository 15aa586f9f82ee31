"""Monitoring of the versions that answer: drift, errors on labels that arrive, health."""
