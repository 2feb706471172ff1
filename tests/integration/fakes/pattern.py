"""Bytes of any length that nobody has to hold: one block, repeated."""

import hashlib
import random

BLOCK = random.Random(20240229).randbytes(1 << 20)
_TWICE = BLOCK + BLOCK


def pieces(size, start=0, step=1 << 18):
    """The bytes [start, size) of the pattern, in pieces of at most step."""
    at = start
    while at < size:
        n = min(step, size - at)
        o = at % len(BLOCK)
        yield memoryview(_TWICE)[o : o + n]
        at += n


def pattern(size):
    return b"".join(pieces(size))


def sha256(size):
    digest = hashlib.sha256()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()
