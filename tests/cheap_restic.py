"""A restic repository whose key is quick to derive, for tests that call restic a hundred times.

Restic spends half a second of a processor on scrypt in every call, so that a stolen repository is hard to guess at.
Here the
same key is written again with scrypt's cheapest parameters: the master key is taken out as restic's documentation of
the
repository says (AES-256 in counter mode, Poly1305-AES over the ciphertext) and put back.
"""
from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path

CHEAP = {"N": 2, "r": 1, "p": 1}


def aes(mode: str, key: bytes, data: bytes, nonce: bytes = b"") -> bytes:
    """Encrypt with OpenSSL's program; counter mode decrypts too"""
    command = ["openssl", "enc", f"-{mode}", "-nopad", "-K", key.hex(), *(["-iv", nonce.hex()] if nonce else [])]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def poly1305(key: bytes, pad: bytes, message: bytes) -> bytes:
    """The authenticator of a message"""
    factor, total = int.from_bytes(key, "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF, 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * factor % ((1 << 130) - 5)
    return ((total + int.from_bytes(pad, "little")) % (1 << 128)).to_bytes(16, "little")


def derived(password: str, key: dict) -> tuple[bytes, bytes, bytes]:
    """The key of the cipher and the two halves of that of the authenticator"""
    salt = base64.b64decode(key["salt"])
    found = hashlib.scrypt(password.encode(), salt=salt, n=key["N"], r=key["r"], p=key["p"], dklen=64, maxmem=1 << 28)
    return found[:32], found[32:48], found[48:]


def cheapen(repository: Path, password: str) -> None:
    """Write the one key of a repository again, quick to derive"""
    file, = (repository / "keys").iterdir()
    key = json.loads(file.read_text())
    cipher, mac, factor = derived(password, key)
    sealed = base64.b64decode(key["data"])
    nonce, text, tag = sealed[:16], sealed[16:-16], sealed[-16:]
    assert poly1305(factor, aes("aes-128-ecb", mac, nonce), text) == tag, "restic's format of keys is another one"
    plain = aes("aes-256-ctr", cipher, text, nonce)
    key |= CHEAP
    cipher, mac, factor = derived(password, key)
    nonce = os.urandom(16)
    text = aes("aes-256-ctr", cipher, plain, nonce)
    key["data"] = base64.b64encode(nonce + text + poly1305(factor, aes("aes-128-ecb", mac, nonce), text)).decode()
    content = json.dumps(key).encode()
    file.unlink()
    (repository / "keys" / hashlib.sha256(content).hexdigest()).write_bytes(content)
