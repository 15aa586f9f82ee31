"""The HTTP server: who may ask, what is asked, and the routes that answer."""
