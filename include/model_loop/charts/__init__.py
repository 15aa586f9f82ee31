"""Charts, made of prepared data and never of trips; a browser draws them."""
