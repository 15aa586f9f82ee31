"""Figures, drawn from prepared data and never from trips."""
