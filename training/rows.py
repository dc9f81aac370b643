"""Token rows for a GPU: all tokens are in one tensor there, and a row consists of segments of it.

A segment is (start, size) in that tensor. Rows are assembled on the device from a fixed prompt, a
query, a truncated document and an end token, without copying tokens to the device again.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.int64]
STRETCH = 1.5  # the most that the longest row of a group exceeds the shortest


class Buffer:
    """The tokens of many texts in one tensor, which is on the device after `ready`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: list[NDArray[np.int32]] = []
        self.count = 0
        self.flat = torch.zeros(0, dtype=torch.int32, device=device)

    def add(self, rows: Iterable[list[int]]) -> Numbers:
        """Append texts; returns their segments, of shape (texts, 2)."""
        arrays = [np.asarray(row, dtype=np.int32) for row in rows]
        sizes = np.array([len(row) for row in arrays], dtype=np.int64)
        starts = self.count + np.cumsum(sizes) - sizes
        self.parts += arrays
        self.count += int(sizes.sum())
        return np.stack([starts, sizes], axis=1)

    def ready(self) -> None:
        """Move the added tokens to the device."""
        whole = np.concatenate(self.parts) if self.parts else np.zeros(0, np.int32)
        self.flat = torch.cat([self.flat, torch.from_numpy(whole).to(self.device)])
        self.parts = []

    def rows(self, segments: Numbers, width: int) -> tuple[Tensor, Tensor]:
        """Assemble rows from segments of shape (n, parts, 2); returns ids (n, width), zero after a
        row's end, and lengths (n,)."""
        on_device = torch.from_numpy(segments).to(self.device, non_blocking=True)
        starts, sizes = on_device[..., 0], on_device[..., 1]
        ends = sizes.cumsum(1)
        places = torch.arange(width, device=self.device)
        part = (places[None, :, None] >= ends[:, None, :]).sum(-1)
        part = part.clamp_(max=segments.shape[1] - 1)
        index = (starts - ends + sizes).gather(1, part) + places
        inside = places < ends[:, -1:]
        ids = self.flat[index.where(inside, 0)].long().where(inside, 0)
        return ids, ends[:, -1]


def cut(segments: Numbers, most: int) -> Numbers:
    """The segments truncated to `most` tokens each."""
    result = segments.copy()
    result[..., 1] = np.minimum(result[..., 1], most)
    return result


def join(*parts: Numbers) -> Numbers:
    """Rows of shape (n, parts, 2) of segments of shape (n, 2) or (2,), in order."""
    size = max(len(part) for part in parts if part.ndim == 2)
    return np.stack([np.broadcast_to(part, (size, 2)) for part in parts], axis=1)


def groups(lengths: Numbers, area: int) -> Iterator[Numbers]:
    """Groups of rows of similar length, at most `area` tokens with padding; shortest first."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        first = int(lengths[order[start]])
        longest = int(first * STRETCH) + 8
        stop = int(np.searchsorted(lengths[order], longest, side="right"))
        width = int(lengths[order[stop - 1]])
        stop = min(stop, start + max(1, area // max(1, width)))
        yield order[start:stop]
        start = stop


def run(
    buffer: Buffer,
    segments: Numbers,
    compute: Callable[[Tensor, Tensor], Tensor],
    area: int,
) -> Tensor:
    """compute(ids, lengths) of all rows, of shape (n, ...), in groups of similar length."""
    lengths = segments[..., 1].sum(1)
    results, places = [], []
    for part in groups(lengths, area):
        width = -(-int(lengths[part].max()) // 16) * 16
        results.append(compute(*buffer.rows(segments[part], width)))
        places.append(part)
    back = np.empty(len(segments), dtype=np.int64)
    back[np.concatenate(places)] = np.arange(len(segments))
    return torch.cat(results)[torch.from_numpy(back).to(buffer.device)]
