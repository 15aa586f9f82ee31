"""Sparse matrices as npz."""

from __future__ import annotations

import io

from scipy import sparse

from model_loop.errors import StoredObjectError
from model_loop.objects.limits import bounded_archive


def encode(matrix: sparse.csr_matrix) -> bytes:
    """Return the bytes of an npz file."""
    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix, compressed=False)
    return buffer.getvalue()


def decode(data: bytes) -> sparse.csr_matrix:
    """Read an npz file."""
    plain = bounded_archive(data, "A stored matrix")
    try:
        matrix = sparse.load_npz(io.BytesIO(plain))
        # A product follows its numbers of rows and columns without looking at them.
        matrix.check_format(full_check=True)
        sound = matrix.format == "csr"
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        raise StoredObjectError(
            "A stored matrix", "does not match its header, and is not loaded", "Store it anew."
        )
    return matrix
