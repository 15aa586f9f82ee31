"""The versions that answer: found in the registry, loaded, and chosen for each request."""
