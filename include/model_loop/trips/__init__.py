"""Trips: where months come from, what they must contain, and how they become clean."""
