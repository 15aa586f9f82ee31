"""Charts, made of prepared data and never of rows; a browser draws them."""
