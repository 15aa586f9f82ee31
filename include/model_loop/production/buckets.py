"""The bucket that partitions, results and models are kept in."""

from __future__ import annotations


def make_bucket(name: str) -> bool:
    """Make a bucket unless it is there; return whether it was made.

    Address and credentials come from the environment, as for every AWS client.

    Raises
    ------
    OSError
        If the store does not answer, or refuses.
    """
    import s3fs  # noqa: PLC0415 - of the extra s3

    # A fresh client: s3fs caches clients by their arguments, and one may have another address.
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    if store.exists(name):
        return False
    store.mkdir(name)
    return True
