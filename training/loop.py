"""The training loop of both trainers on a CPU: options, optimizer, log, checkpoints, resuming."""

import argparse
import copy
import random
import time
from collections.abc import Callable
from pathlib import Path

import student
import torch
from torch import Tensor

SAVE = 240  # seconds between two checkpoints
SMOOTH = 0.985  # of the mean's weights stay at a step


def options(parser: argparse.ArgumentParser, rate: float, table_rate: float) -> None:
    """Add the options of `train`."""
    parser.add_argument("--minutes", type=float, default=60, help="in all, those resumed included")
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--table-rate", type=float, default=table_rate, help="of the token table")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)


def train(
    model: student.Student, out: Path, args: argparse.Namespace, losses: Callable[[], Tensor]
) -> None:
    """Minimize the sum of losses(), which draws a batch; the same call again resumes.

    Every four minutes the mean of the last steps' weights is written to `out`, and the state for
    resuming to `out`.state. Learning rates decay linearly with time, so that a run ends in time on
    a busy machine, too. The batch of a step depends only on the seed and the step's number.
    """
    table = model.token_embd.weight
    others = [weight for weight in model.parameters() if weight is not table]
    optimiser = torch.optim.AdamW(
        [{"params": [table]}, {"params": others}], betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    state, step, spent = out.with_suffix(".state"), 0, 0.0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        optimiser.load_state_dict(kept["optimiser"])
        model.load_state_dict(kept["weights"])
        step, spent = kept["step"], kept["minutes"]
    smooth = copy.deepcopy(model)
    if state.exists():
        smooth.load_state_dict(student.load(out).state_dict())
    begun, first, mean = time.time() - 60 * spent, step, torch.zeros(())
    saved = time.time()
    while (part := (time.time() - begun) / (60 * args.minutes)) < 1:
        random.seed(1_000_000 * args.seed + step)
        now = min(1.0, (step + 1) / 50) * (1 - part)
        for group, rate in zip(optimiser.param_groups, (args.table_rate, args.rate), strict=True):
            group["lr"] = rate * now
        parts = losses()
        parts.sum().backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        mean = mean * 0.96 + parts.detach() * 0.04 if step > first else parts.detach()
        step += 1
        average(smooth, model, max(1 - SMOOTH, 1 / (1 + step / 4)))
        if step % 25 == 0:
            text = " ".join(f"{value:.3f}" for value in mean.tolist())
            cpu = time.process_time() / 60
            print(f"step {step}, {100 * part:.0f} %: {text}; {cpu:.1f} CPU min", flush=True)
        if time.time() - saved > SAVE:
            save(model, smooth, optimiser, out, step, (time.time() - begun) / 60)
            saved = time.time()
    save(model, smooth, optimiser, out, step, args.minutes)


@torch.no_grad()
def average(smooth: student.Student, model: student.Student, share: float) -> None:
    """Move the mean's weights towards the model's by a share."""
    for kept, weight in zip(smooth.parameters(), model.parameters(), strict=True):
        kept.lerp_(weight, share)


def save(
    model: student.Student,
    smooth: student.Student,
    optimiser: torch.optim.Optimizer,
    out: Path,
    step: int,
    minutes: float,
) -> None:
    """Write the mean weights and, to another file, the state for resuming."""
    student.save(smooth, out)
    kept = {
        "step": step,
        "minutes": minutes,
        "weights": model.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    state = out.with_suffix(".state")
    torch.save(kept, state.with_suffix(".statepart"))
    state.with_suffix(".statepart").replace(state)
