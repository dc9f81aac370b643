"""Token rows for a GPU: all tokens lie in one tensor there, a row is named by its segments.

A segment is (start, size) in that tensor. Rows are put together on the device: a fixed prompt,
a query, a document cut at some length, an end token need no copying between.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.int64]
STRETCH = 1.5  # longest to shortest row of a group that is padded together


class Buffer:
    """The tokens of many texts, in one tensor on the device once `ready` was called."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.parts: list[NDArray[np.int32]] = []
        self.count = 0
        self.flat = torch.zeros(0, dtype=torch.int32, device=device)

    def add(self, rows: Iterable[list[int]]) -> Numbers:
        """Append texts; (texts, 2): start and size of each."""
        made = [np.asarray(row, dtype=np.int32) for row in rows]
        sizes = np.array([len(row) for row in made], dtype=np.int64)
        starts = self.count + np.cumsum(sizes) - sizes
        self.parts += made
        self.count += int(sizes.sum())
        return np.stack([starts, sizes], axis=1)

    def ready(self) -> None:
        """Move what was added to the device."""
        whole = np.concatenate(self.parts) if self.parts else np.zeros(0, np.int32)
        self.flat = torch.cat([self.flat, torch.from_numpy(whole).to(self.device)])
        self.parts = []

    def rows(self, segments: Numbers, width: int) -> tuple[Tensor, Tensor]:
        """segments (n, parts, 2) to ids (n, width), zero after a row's end, and lengths (n,)."""
        given = torch.from_numpy(segments).to(self.device, non_blocking=True)
        starts, sizes = given[..., 0], given[..., 1]
        ends = sizes.cumsum(1)
        places = torch.arange(width, device=self.device)
        part = (places[None, :, None] >= ends[:, None, :]).sum(-1)
        part = part.clamp_(max=segments.shape[1] - 1)
        index = (starts - ends + sizes).gather(1, part) + places
        inside = places < ends[:, -1:]
        ids = self.flat[index.where(inside, 0)].long().where(inside, 0)
        return ids, ends[:, -1]


def cut(segments: Numbers, most: int) -> Numbers:
    """The same segments, none longer than `most`."""
    made = segments.copy()
    made[..., 1] = np.minimum(made[..., 1], most)
    return made


def join(*parts: Numbers) -> Numbers:
    """Rows (n, parts, 2) of segments (n, 2) or (2,), in order."""
    size = max(len(part) for part in parts if part.ndim == 2)
    return np.stack([np.broadcast_to(part, (size, 2)) for part in parts], axis=1)


def groups(lengths: Numbers, area: int) -> Iterator[Numbers]:
    """Numbers of rows of like length, at most `area` padded tokens a group, shortest first."""
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
    """(n, ...) what `compute(ids, lengths)` makes of the rows, in groups of like length."""
    lengths = segments[..., 1].sum(1)
    made, places = [], []
    for part in groups(lengths, area):
        width = -(-int(lengths[part].max()) // 16) * 16
        made.append(compute(*buffer.rows(segments[part], width)))
        places.append(part)
    back = np.empty(len(segments), dtype=np.int64)
    back[np.concatenate(places)] = np.arange(len(segments))
    return torch.cat(made)[torch.from_numpy(back).to(buffer.device)]
