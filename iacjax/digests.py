"""SHA-256 digests, which show whether a file has changed since it was written."""

import hashlib
import json
from typing import Any

KEY = "sha256"  # of a signed object: the digest of all its other fields


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sign(data: dict[str, Any]) -> dict[str, Any]:
    """`data`, a JSON object, with its own digest in it."""
    return {**data, KEY: _digest_of(data)}


def is_as_signed(data: dict[str, Any]) -> bool:
    """Whether the fields are those that were signed. Objects of older versions have no digest and pass."""
    return KEY not in data or data[KEY] == _digest_of(data)


def _digest_of(data: dict[str, Any]) -> str:
    rest = {name: value for name, value in data.items() if name != KEY}
    return digest(json.dumps(rest, sort_keys=True).encode())
