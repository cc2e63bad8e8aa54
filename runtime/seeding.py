"""Seeds that depend on texts alone, so that the same request always draws the same numbers."""

from __future__ import annotations

import hashlib


def seed_of(*parts: str) -> int:
    """A seed of 64 bits made of the texts."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8)
    return int.from_bytes(digest.digest(), "big")
