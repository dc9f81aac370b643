"""Train the bundled pair of models on one GPU in minutes.

The phases are: the teacher's vectors, the embedder, the cross-encoder (judge), the reranker. Needs
the files of corpus.py and the bundled models, and no network. The models are saved regularly, so
that little is lost when it is stopped; `--seconds` limits the whole run. It also runs on a CPU, as
a rehearsal with `--share` of the pairs.
"""

import argparse
import copy
import time
from pathlib import Path

import distil_embedder
import distil_reranker
import export
import judge
import student
import torch
import vocabulary
from corpus import BEGUN, Corpus, say
from schedule import Schedule

# The end of each phase, as a share of the time that is left after the teacher's vectors.
PHASES = {"embedder": 0.40, "judge": 0.59, "judged": 0.66, "reranker": 1.0}


def main() -> None:
    """Run the phases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("carry", type=Path, help="folder that corpus.py wrote")
    parser.add_argument("out", type=Path, help="folder for the GGUF files")
    parser.add_argument("--bundled", type=Path, default=Path("qrank/models/tiny"))
    parser.add_argument("--seconds", type=float, default=500, help="for everything")
    parser.add_argument("--least", type=float, default=60, help="seconds that training gets anyway")
    parser.add_argument("--share", type=float, default=1.0, help="of the pairs, for a rehearsal")
    parser.add_argument("--pairs", type=int, default=1536, help="a step of the embedder")
    parser.add_argument("--judge-lists", type=int, default=96, help="a step of the cross-encoder")
    parser.add_argument("--lists", type=int, default=256, help="a step of the reranker")
    parser.add_argument("--threads", type=int, help="of a CPU")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    say(f"torch {torch.__version__}, {name}")
    args.out.mkdir(parents=True, exist_ok=True)
    files = {kind: args.bundled / f"tiny-{kind}.gguf" for kind in ("embedding", "reranker")}
    cut = vocabulary.from_gguf(files["embedding"])
    old = student.load(files["embedding"]).to(device)
    data = Corpus(args.carry, cut, device, args.share)
    data.teach(args.carry, 1 << 17)
    prompt = distil_reranker.Prompt(data, cut)
    bundled = student.load(files["reranker"]).to(device)

    def save(model: student.Student, kind: str) -> None:
        export.write(model, cut, args.out / f"tiny-{kind}.gguf", kind)
        say(f"tiny-{kind}.gguf written")

    def phases(ends: dict[str, float]) -> None:
        embedder = copy.deepcopy(old)
        plan = Schedule(ends["embedder"], {"token_embd": 3e-3}, 2e-3)
        distil_embedder.train(embedder, data, plan, args.pairs, lambda: save(embedder, "embedding"))
        plan = Schedule(ends["judge"], {"encoder": 1e-4}, 5e-4)
        model = judge.train(data, plan, args.judge_lists)
        judged = judge.Judged(model, data, ends["judged"], 5 * args.judge_lists)
        del model
        reranker = distil_reranker.begin(bundled, old, embedder, data, prompt, judged)
        reranker = copy.deepcopy(reranker)
        plan = Schedule(ends["reranker"], {"token_embd": 2e-3}, 1.5e-3)
        distil_reranker.train(
            reranker, data, prompt, judged, plan, args.lists, lambda: save(reranker, "reranker")
        )

    phases(dict.fromkeys(PHASES, 0.0))  # a rehearsal with a few steps of each, to fail early
    if device.type == "cuda":
        say(f"rehearsed; {torch.cuda.max_memory_allocated() / 2**30:.0f} GiB at most")
        torch.cuda.empty_cache()
    ready = time.perf_counter()
    left = max(args.least, BEGUN + args.seconds - 8 - ready)
    say(f"{left:.0f} s are left for training")
    phases({name: ready + left * part for name, part in PHASES.items()})
    say("done")


if __name__ == "__main__":
    main()
