"""Logins in texts: masked on every way out, and refused in the addresses of sources."""

from __future__ import annotations

import re

MASK = "***"

# A password may hold `/` and `@`, so that it ends at the last `@` of the address; without a colon,
# an `@` behind the first `/` belongs to a path. Rather too much is masked than too little.
_WITH_PASSWORD = re.compile(r"(?<=://)[^\s:/?#@\"'<>]*:[^\s\"'<>]*@")
_TOKEN_ALONE = re.compile(r"(?<=://)[^\s:/?#@\"'<>]+@")
# Presigned addresses (X-Amz-Signature, X-Goog-Credential, sig), ?token=, and the words of libpq.
_PARAMETER = re.compile(
    r"(?P<name>(?:^|[?&;\s])[\w.-]*(?:token|key|secret|pass|pwd|sig|credential|auth)[\w.-]*=)"
    r"(?!\*)[^\s&;\"'<>]+",
    re.IGNORECASE,
)
_HEADER = re.compile(r"\b(?P<scheme>Bearer|Basic) +(?!\*)[\w.~+/=-]{8,}", re.IGNORECASE)


def mask_logins(text: str) -> str:
    """Replace names and passwords, tokens and signatures of addresses by three stars."""
    # Parameters first: the value of one may hold an `@`, too.
    masked = _PARAMETER.sub(rf"\g<name>{MASK}", text)
    masked = _WITH_PASSWORD.sub(f"{MASK}@", masked)
    masked = _TOKEN_ALONE.sub(f"{MASK}@", masked)
    return _HEADER.sub(rf"\g<scheme> {MASK}", masked)
