"""Dashboard: pages of prepared data, and charts that a browser draws."""
