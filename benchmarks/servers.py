"""Model servers: the client's overhead, and the throughput with a second server.

The servers are mocks in processes of their own: each sleeps for a fixed time per batch, one batch
at a time.

    python benchmarks/servers.py
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection

from qrank.model_servers.client import Server
from qrank.model_servers.embedder import BATCH, ServerEmbedder
from qrank.prompts import Templates
from qrank.urls import parse

DIMS = 1024
TEXT = "The pump in hall nine moved 333 litres of water in eleven hours. " * 12  # a usual chunk


def serve(pipe: Connection, seconds: float) -> None:
    """Answer embedding requests, each batch after so many seconds; sends its port to the pipe."""
    turn = threading.Lock()
    row = [round(0.001 * i - 0.5, 6) for i in range(DIMS)]
    rows = [{"index": i, "embedding": row} for i in range(BATCH)]
    whole = json.dumps({"data": rows}).encode()
    one = json.dumps({"data": rows[:1]}).encode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            batch = body.count(b"litres") > 100
            if batch:
                with turn:
                    time.sleep(seconds)
            answer = whole if batch else one
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def seconds_of(urls: list[str], batches: int) -> float:
    """The seconds for embedding so many batches."""
    embedder = ServerEmbedder([Server(parse(f"{url}#m")) for url in urls], Templates())
    groups = ([f"{batch} {i} {TEXT}" for i in range(BATCH)] for batch in range(batches))
    started = time.perf_counter()
    for _ in embedder.stream(groups):
        pass
    seconds = time.perf_counter() - started
    embedder.close()
    return seconds


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a batch")
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    args = parser.parse_args()
    urls, processes = [], []
    for _ in range(2):
        here, there = multiprocessing.Pipe()
        process = multiprocessing.Process(target=serve, args=(there, args.seconds), daemon=True)
        process.start()
        processes.append(process)
        urls.append(f"http://127.0.0.1:{here.recv()}")
    one, two = [], []
    for _ in range(args.turns):
        one.append(seconds_of(urls[:1], args.batches))
        two.append(seconds_of(urls, args.batches))
    for process in processes:
        process.terminate()
    least = args.seconds * args.batches
    print(f"{args.batches} batches of {BATCH} texts, {args.seconds} s each by the server")
    print(f"one server: {statistics.median(one):.2f} s, {statistics.median(one) / least - 1:.1%}")
    print(
        f"two servers: {statistics.median(one) / statistics.median(two):.2f} times the throughput"
    )


if __name__ == "__main__":
    main()
