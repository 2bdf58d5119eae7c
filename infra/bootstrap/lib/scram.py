# Made by `pretamane emit` from model 10861de4012e. Change the stack, not this file.
"""Reads a password, writes the SCRAM-SHA-256 verifier that PostgreSQL stores, so that its log never sees the password.

RFC 5802 with SHA-256; letters and digits need no SASLprep.
"""
import base64
import hashlib
import hmac
import os
import sys

ITERATIONS = 4096  # PostgreSQL's own default

password = sys.stdin.buffer.read().removesuffix(b"\n")
salt = os.urandom(16)
salted = hashlib.pbkdf2_hmac("sha256", password, salt, ITERATIONS)
stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
server = hmac.digest(salted, b"Server Key", "sha256")
salt, stored, server = (base64.b64encode(each).decode() for each in (salt, stored, server))
print(f"SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")
