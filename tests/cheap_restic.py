"""A restic repository whose key is quick to derive, for tests that call restic a hundred times.

Restic spends half a second of a processor on scrypt in every call, so that a stolen repository is hard to guess at.
Here the
same key is written again with scrypt's cheapest parameters: the master key is taken out as restic's documentation of
the
repository says (AES-256 in counter mode, Poly1305-AES over the ciphertext) and put back.
"""
from __future__ import annotations

import atexit
import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
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


def cheap(content: bytes, password: str) -> tuple[str, bytes]:
    """The name and the content of the file of a key, written again so that the key is quick to derive"""
    key = json.loads(content)
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
    return hashlib.sha256(content).hexdigest(), content


@cache
def _first(password: str) -> Path:
    """A repository that is made once, for to make one takes two seconds of a processor"""
    folder = Path(tempfile.mkdtemp(prefix="restic-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    subprocess.run(["restic", "-r", folder / "repository", "--no-cache", "init"], check=True, capture_output=True,
                   env=os.environ | {"RESTIC_PASSWORD": password})
    file, = (folder / "repository" / "keys").iterdir()
    name, content = cheap(file.read_bytes(), password)
    file.unlink()
    (folder / "repository" / "keys" / name).write_bytes(content)
    return folder / "repository"


def cheap_repository(place: Path, password: str) -> None:
    """Make an empty repository whose key is quick to derive; two of one password have the same identity"""
    shutil.copytree(_first(password), place)


def cheapen_bucket(store, bucket: str, prefix: str, password: str) -> None:
    """Write the one key of a repository in a bucket again"""
    old, = (each["Key"] for each in store.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/keys/")["Contents"])
    name, content = cheap(store.get_object(Bucket=bucket, Key=old)["Body"].read(), password)
    store.put_object(Bucket=bucket, Key=f"{prefix}/keys/{name}", Body=content)
    store.delete_object(Bucket=bucket, Key=old)
