"""What the worker processes with PyTorch can do. Run as `python -m benchmarks.tasks_torch settings`."""

import json
import math
import sys
import time
from functools import partial

import numpy as np
import torch

from benchmarks.rounds import arrival
from benchmarks.twins_torch import Learner
from benchmarks.workers import serve

LARGEST_SANE_Z = 1e3


def actions(learner: Learner, *, chain_steps: int = 10, iterations: int = 1, product: int = 2048) -> dict:
    """The timed tasks, as in `tasks_jax.actions`."""
    a = torch.randn(product, product, device=learner.device)
    random = np.random.default_rng(0)

    @torch.no_grad()
    def forward():
        return learner.render(learner.z)

    def iterate():
        for _ in range(iterations):
            learner.iterate()

    tasks = {
        "product": lambda: a @ a,
        "forward": forward,
        "gradient": lambda: learner.infer(chain_steps),
        "learning": learner.learn,
        "iteration": iterate,
        "render": lambda: render(learner, random),
    }
    return {name: partial(_finished, task, learner.device) for name, task in tasks.items()}


def _finished(task, device):
    task()
    if device == "cuda":
        torch.cuda.synchronize()


@torch.no_grad()
def render(learner: Learner, random: np.random.Generator) -> np.ndarray:
    """One image as a slider shows it: z in, numbers from 0 to 255 out."""
    z = torch.from_numpy(random.standard_normal((1, learner.z.shape[1]), np.float32)).to(learner.device)
    pixels = (learner.render(z)[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5
    return pixels.round().to(torch.uint8).cpu().numpy()


def train(
    learner: Learner,
    target: float | None = None,
    limit: int = 600,
    *,
    step_size: float,
    learning_rate: float,
    num_steps: int = 30,
    num_warmup: int = 20,
) -> dict:
    """Learns until the error is at the target, as `tasks_jax.train` does: the last error and the median of five.

    The first iterations learn W alone, as ours do. A run that diverges ends there. Compile before: do an iteration.
    """
    learner.reset(step_size, learning_rate, num_steps)
    losses, begin, warm = [], time.perf_counter(), None
    while len(losses) < limit and not arrival(losses, target) and _sound(losses, learner.z):
        warm = time.perf_counter() if len(losses) == num_warmup else warm
        losses.append((learner.learn if len(losses) < num_warmup else learner.iterate)().item())
    end = time.perf_counter()
    iteration = (end - warm) / (len(losses) - num_warmup) if warm else math.nan
    return {
        "reached": target is None or arrival(losses, target) is not None,
        "iterations": len(losses),
        "seconds": end - begin,
        "iteration_seconds": iteration,
        "loss": losses[-1],
    }


def _sound(losses, z):
    return not losses or (math.isfinite(losses[-1]) and z.abs().max().item() < LARGEST_SANE_Z)


def main():
    """Builds the contestant that the first argument describes, and serves."""
    settings = json.loads(sys.argv[1])
    device = settings.pop("device")
    if device == "cuda":  # as jax does by default: products of float32 may round their factors to TF32
        torch.set_float32_matmul_precision("high")
    arrays = dict(np.load(settings.pop("exchange")))
    learner = Learner(arrays, arrays.pop("images"), arrays.pop("z"), settings.pop("form"), device=device)
    serve(actions(learner, **settings), {"describe": lambda: describe(device), "train": partial(train, learner)})


def describe(device: str) -> dict:
    """Returns on what PyTorch computes."""
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {"platform": device, "device": name, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    main()
