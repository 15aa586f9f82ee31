"""Tests of whole stacks: a package, since fixtures of its scope end with its last test."""
