"""What people look at: pages of prepared data, and charts that a browser draws."""
