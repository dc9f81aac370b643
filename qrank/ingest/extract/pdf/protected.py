"""PDFs with a user password and an empty owner password (AES-256). Other programs open them without
asking, but pdfium only tries an empty user password, so it is given a copy with that.

Format: ISO 32000-2, 7.6.4; the file's key stays the same. AES is from the package cryptography, in
the extra `encrypted`.
"""

from __future__ import annotations

import hashlib
import re

_REFERENCE = re.compile(rb"/Encrypt\s+(\d+)\s+(\d+)\s+R\b")
_STRING = rb"/%b\s*(<[0-9A-Fa-f\s]*>|\((?:[^()\\]|\\.)*\))"
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|\r\n|.)|\r\n?", re.DOTALL)
_ESCAPED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\n": b"", b"\r": b""}
_SPECIAL = frozenset(b"()\\\r")
_HASH, _SALT, _KEY = 32, 8, 32  # bytes


def with_empty_password(data: bytes) -> bytes | None:
    """A copy of the PDF with an empty user password; None when its owner password is not empty, its
    encryption is an older one, or the package cryptography is not installed."""
    span = _dictionary(data)
    if span is None:
        return None
    start, end = span
    entries = {name: re.compile(_STRING % name, re.DOTALL) for name in (b"O", b"OE", b"U", b"UE")}
    matches = {name: entry.search(data, start, end) for name, entry in entries.items()}
    values = {name: _value(match[1]) for name, match in matches.items() if match}
    revision = re.search(rb"/R\s*([56])\b", data[start:end])
    whole = _HASH + 2 * _SALT
    if len(values) < 4 or revision is None or any(len(values[n]) < whole for n in (b"O", b"U")):
        return None
    try:
        key = _file_key(values, hardened=revision[1] == b"6")
        if key is None:
            return None
        salts = range(1 << 16)  # tried until the strings need no escapes
        candidates = (
            _user_entries(key, salt.to_bytes(_SALT, "big"), revision[1] == b"6") for salt in salts
        )
        user, encrypted = next(e for e in candidates if not _SPECIAL.intersection(e[0] + e[1]))
    except ImportError:
        return None
    copy = bytearray(data)
    for name, value in ((b"U", user), (b"UE", encrypted)):
        match = matches[name]
        assert match is not None
        token = b"<%b>" % value.hex().encode() if match[1][:1] == b"<" else b"(%b)" % value
        copy[match.start(1) : match.end(1)] = token.ljust(len(match[1]))
    return bytes(copy) if len(copy) == len(data) else None


def _dictionary(data: bytes) -> tuple[int, int] | None:
    """(start, end) of the encryption dictionary, which is never in a compressed stream."""
    reference = _REFERENCE.search(data)
    if reference is None:
        return None
    begins = [*re.finditer(rb"(?<!\d)%b\s+%b\s+obj\b" % reference.groups(), data)]
    if not begins:
        return None
    start = begins[-1].end()
    end = data.find(b"endobj", start)
    return (start, end) if end > 0 else None


def _value(token: bytes) -> bytes:
    """The bytes of a string object."""
    if token.startswith(b"<"):
        digits = b"".join(token[1:-1].split())
        return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode())

    def plain(match: re.Match[bytes]) -> bytes:
        after = match[1]
        if after is None:  # an end of line
            return b"\n"
        if after[:1].isdigit() and after[:1] < b"8":
            return bytes([int(after, 8) & 0xFF])
        return _ESCAPED.get(after[:1], after)

    return _ESCAPE.sub(plain, token[1:-1])


def _file_key(values: dict[bytes, bytes], hardened: bool) -> bytes | None:
    """The file's key from an empty owner password (algorithm 2.A); None when that is wrong."""
    owner, user = values[b"O"], values[b"U"][: _HASH + 2 * _SALT]
    check, key_salt = owner[_HASH : _HASH + _SALT], owner[_HASH + _SALT : _HASH + 2 * _SALT]
    if _hash(check, user, hardened) != owner[:_HASH]:
        return None
    return _aes(_hash(key_salt, user, hardened), bytes(16), values[b"OE"][:_KEY], decrypt=True)


def _user_entries(key: bytes, salt: bytes, hardened: bool) -> tuple[bytes, bytes]:
    """The entries U and UE for an empty password (algorithm 8)."""
    digest = _hash(salt, b"", hardened)
    return digest + salt + salt, _aes(digest, bytes(16), key)


def _hash(salt: bytes, user: bytes, hardened: bool) -> bytes:
    """The hash of an empty password; hardened: by revision 6 (algorithm 2.B)."""
    digest = hashlib.sha256(salt + user).digest()
    round_ = 0
    last = 0
    while hardened and (round_ < 64 or last > round_ - 32):
        mixed = _aes(digest[:16], digest[16:32], (digest + user) * 64)
        name = ("sha256", "sha384", "sha512")[sum(mixed[:16]) % 3]
        digest = hashlib.new(name, mixed).digest()
        last = mixed[-1]
        round_ += 1
    return digest[:_HASH]


def _aes(key: bytes, start: bytes, data: bytes, decrypt: bool = False) -> bytes:
    """AES in CBC mode, without padding. Raises ImportError."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(key), modes.CBC(start))
    context = cipher.decryptor() if decrypt else cipher.encryptor()
    return bytes(context.update(data) + context.finalize())
