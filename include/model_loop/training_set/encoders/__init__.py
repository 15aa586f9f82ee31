"""Encoders: scikit-learn transformers from raw columns to a design matrix."""
