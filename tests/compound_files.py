"""Writes compound files (OLE), the container format of .doc, .ppt, .xls and .msg."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import pairwise

SECTOR, MINI, CUTOFF, FREE, END = 512, 64, 4096, 0xFFFFFFFF, 0xFFFFFFFE


def compound(streams: Mapping[str, bytes]) -> bytes:
    """A file with these streams, by paths with `/`; those below 4096 bytes lie in the mini
    stream."""
    folders = {"": 0}
    entries: list[dict[str, object]] = [{"name": "Root Entry", "kind": 5, "children": []}]

    def folder(path: str) -> int:
        if path not in folders:
            above, _, name = path.rpartition("/")
            parent = folder(above)
            folders[path] = len(entries)
            entries.append({"name": name, "kind": 1, "children": []})
            entries[parent]["children"].append(folders[path])  # type: ignore[attr-defined]
        return folders[path]

    sectors: list[bytes] = []
    table: list[int] = []

    def store(data: bytes) -> int:
        if not data:
            return END
        start = len(sectors)
        for at in range(0, len(data), SECTOR):
            sectors.append(data[at : at + SECTOR].ljust(SECTOR, b"\0"))
            table.append(len(sectors))
        table[-1] = END
        return start

    mini, mini_table = bytearray(), list[int]()
    for path, data in streams.items():
        above, _, name = path.rpartition("/")
        parent = folder(above)
        if len(data) >= CUTOFF:
            start = store(data)
        elif not data:
            start = END
        else:
            start = len(mini_table)
            for at in range(0, len(data), MINI):
                mini += data[at : at + MINI].ljust(MINI, b"\0")
                mini_table.append(len(mini_table) + 1)
            mini_table[-1] = END
        entries[parent]["children"].append(len(entries))  # type: ignore[attr-defined]
        entries.append({"name": name, "kind": 2, "start": start, "size": len(data), "children": []})
    entries[0] |= {"start": store(bytes(mini)), "size": len(mini)}
    packed = struct.pack(f"<{len(mini_table)}I", *mini_table)
    mini_start = store(packed + b"\xff" * (-len(packed) % SECTOR))
    siblings: dict[int, int] = {}
    for entry in entries:
        inner: list[int] = entry["children"]  # type: ignore[assignment]
        siblings |= dict(pairwise(inner))
    directory = b""
    for number, entry in enumerate(entries):
        name = f"{entry['name']}\0".encode("utf-16-le")
        inner = entry["children"]  # type: ignore[assignment]
        directory += name.ljust(64, b"\0") + struct.pack(
            "<HBB3I", len(name), entry["kind"], 1, FREE, siblings.get(number, FREE),
            inner[0] if inner else FREE,
        ) + bytes(36) + struct.pack("<IQ", entry.get("start", 0), entry.get("size", 0))  # fmt: skip
    directory_start = store(directory)
    count = 1
    while count * SECTOR // 4 < len(table) + count:
        count += 1
    first = len(sectors)
    table += [0xFFFFFFFD] * count
    table += [FREE] * (count * SECTOR // 4 - len(table))
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack(
        "<5H6x5I5I", 0x3E, 3, 0xFFFE, 9, 6, 0, count, directory_start, 0, CUTOFF,
        mini_start, 1, END, 0, first,
    )  # fmt: skip
    header += struct.pack("<108I", *range(first + 1, first + count), *[FREE] * (109 - count))
    return header.ljust(SECTOR, b"\0") + b"".join(sectors) + struct.pack(f"<{len(table)}I", *table)
