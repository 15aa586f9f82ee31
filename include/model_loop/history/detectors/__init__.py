"""Detectors: each looks at a comparison and yields findings of one kind."""
