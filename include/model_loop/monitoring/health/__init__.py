"""Health of the service: one typed value, as JSON and for Prometheus."""
