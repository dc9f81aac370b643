"""A training phase with a time limit: learning rates, log, smaller batches when out of memory."""

import time
from collections.abc import Callable

import torch
from corpus import say
from torch import Tensor, nn

SAVE = 45  # seconds between two calls of save
LEAST = 3  # steps, also when there is no time, in a rehearsal


class Schedule:
    """One phase, until `end` (of time.perf_counter)."""

    def __init__(self, end: float, rates: dict[str, float], other: float) -> None:
        """rates: learning rates by prefix of the parameter's name; other: of other parameters."""
        self.end, self.rates, self.other = end, rates, other
        self.size = 0

    def groups(self, model: nn.Module) -> list[dict]:
        """Parameter groups by rate."""
        made: dict[float, list[nn.Parameter]] = {}
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                found = [rate for start, rate in self.rates.items() if name.startswith(start)]
                made.setdefault(found[0] if found else self.other, []).append(weight)
        return [{"params": weights, "top": rate} for rate, weights in made.items()]

    def train(
        self, model: nn.Module, step: Callable[[], Tensor], size: int, save: Callable[[], None]
    ) -> None:
        """Minimize the sum of step(), which draws a batch of self.size, at first `size`.

        The learning rate has a warm-up of 60 steps, and decays linearly with time.
        """
        groups = self.groups(model)
        weights = [weight for group in groups for weight in group["params"]]
        fused = weights[0].device.type == "cuda"
        optimiser = torch.optim.AdamW(
            groups, lr=0.0, betas=(0.9, 0.98), weight_decay=0.0, fused=fused
        )
        begun = saved = told = time.perf_counter()
        self.size, number, mean = size, 0, torch.zeros(())
        while (now := time.perf_counter()) < self.end or number < LEAST:
            part = (now - begun) / max(1e-3, self.end - begun)
            factor = min(1.0, (number + 1) / 60) * max(0.02, 1 - part)
            for group in optimiser.param_groups:
                group["lr"] = group["top"] * factor
            try:
                parts = step()
                parts.sum().backward()
            except torch.OutOfMemoryError:
                parts = None
            if parts is None:  # not in the except clause, whose traceback keeps tensors alive
                optimiser.zero_grad()
                torch.cuda.empty_cache()
                self.size = max(8, self.size * 2 // 3)
                say(f"out of memory: {self.size} a step from here on")
                continue
            nn.utils.clip_grad_norm_(weights, 1.0)
            for weight in weights:
                if weight.grad is not None:
                    weight.grad.nan_to_num_(0.0, 0.0, 0.0)
            optimiser.step()
            optimiser.zero_grad()
            detached = parts.detach()
            mean = detached if number == 0 else mean * 0.95 + detached * 0.05
            number += 1
            now = time.perf_counter()
            if now - told > 8 or number in (1, 10):
                told = now
                text = " ".join(f"{value:.4f}" for value in mean.tolist())
                say(f"step {number}, {100 * part:.0f} %: {text}")
            if now - saved > SAVE:
                save()
                saved = time.perf_counter()
        say(f"{number} steps of {self.size}")
        save()
