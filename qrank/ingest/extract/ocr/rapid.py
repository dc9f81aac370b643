"""A program (`python -m`) that reads a picture from stdin and prints its text, by the models of the
package rapidocr (PP-OCR: Chinese, Japanese, and languages in Latin script).

It runs in its own process, as it needs more memory than a worker may have.
"""

from __future__ import annotations

import os
import sys
from typing import Any

SAME_LINE = 0.5  # of the height: the largest distance of the middles of two pieces in a line


def main() -> None:
    """Print the text. Errors of rapidocr are raised."""
    data = sys.stdin.buffer.read()
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the library may print to stdout
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
    result = engine(data)
    boxes = () if result.boxes is None else result.boxes
    pieces = [(_place(box), text) for box, text in zip(boxes, result.txts or (), strict=True)]
    out.write("\n".join(lines(pieces)).encode("utf-8", "replace"))
    out.flush()
    os._exit(0)  # without waiting for its threads


def _place(box: Any) -> tuple[float, float, float]:
    """(left, vertical middle, height) of a box given by its four corners, in pixels."""
    heights = [float(point[1]) for point in box]
    left = min(float(point[0]) for point in box)
    return left, sum(heights) / len(heights), max(heights) - min(heights)


def lines(pieces: list[tuple[tuple[float, float, float], str]]) -> list[str]:
    """Join pieces of text, ((left, middle, height), text), to lines, with an empty line for each
    wide gap.

    >>> lines([((50, 10, 8), "b"), ((0, 11, 8), "a"), ((0, 21, 8), "c"), ((0, 60, 8), "d")])
    ['a b', 'c', '', 'd']
    """
    rows: list[list[tuple[tuple[float, float, float], str]]] = []
    for piece in sorted(pieces, key=lambda each: each[0][1]):
        (_, middle, height), _ = piece
        if rows and abs(middle - rows[-1][0][0][1]) < SAME_LINE * height:
            rows[-1].append(piece)
        else:
            rows.append([piece])
    result: list[str] = []
    last, tall = 0.0, 0.0
    for row in rows:
        _, middle, height = row[0][0]
        if result and middle - last > 1.5 * (height + tall) / 2 + max(height, tall):
            result.append("")
        result.append(" ".join(text for _, text in sorted(row)))
        last, tall = middle, height
    return result


if __name__ == "__main__":
    main()
