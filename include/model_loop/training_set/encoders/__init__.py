"""Encoders: scikit-learn transformers from raw trip columns to a design matrix."""
