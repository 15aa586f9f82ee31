"""How the service is: one typed value, as JSON and for Prometheus."""
