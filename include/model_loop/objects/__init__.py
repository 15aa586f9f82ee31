"""Typed objects in storage: each in its own format, named by its content, never as a pickle."""

from model_loop.objects.reference import ObjectReference
from model_loop.objects.store import read_object, remove_object, write_bytes, write_object

__all__ = ["ObjectReference", "read_object", "remove_object", "write_bytes", "write_object"]
