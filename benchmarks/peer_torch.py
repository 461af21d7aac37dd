"""The exercise in PyTorch, written plainly. A process that prints its seconds, and needs no jax:

    python -m benchmarks.peer_torch eager weights.npz cpu iteration

The file has our weights ("layer/kernel", "layer/bias"), the images and the first z. PyTorch's layer with padding 2 and
output padding 1, the usual way to double an image, crops the other side than "SAME" does. Turned by half a turn, the
two agree exactly, kernels and all. So this network draws our images upside down and mirrored: only the first layer's
weights and the images are turned, once, and what is timed is the usual layer.
"""

import json
import math
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.timing import stopwatch

# Of eight pairs from 0.01 to 0.05 and 0.0005 to 0.002 the one that came nearest to an error of 0.02 in 110 iterations.
STEP_SIZE, LEARNING_RATE = 0.05, 1e-3
NUM_STEPS, SIGMA = 30, 0.3
# As `abp_jax.training.optimizers` has them at full width; PyTorch's steps of Newton-Schulz are in bfloat16.
MUON_RATE, RATIO, DECAY, NUM_ITERATIONS = 1e-3, 12.5, 0.4, 200


class Generator(nn.Module):
    """Linear to 4x4, then 5x5 stride-2 transposed convolutions, then tanh. features: channels, the image's last."""

    def __init__(self, latent_dim: int, features: list[int]):
        super().__init__()
        self.first = nn.Linear(latent_dim, 16 * features[0])
        pairs = zip(features, features[1:], strict=False)
        self.layers = nn.ModuleList(nn.ConvTranspose2d(a, b, 5, 2, padding=2, output_padding=1) for a, b in pairs)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Maps z (n, d) to images (n, channels, height, width)."""
        x = self.first(z).view(len(z), -1, 4, 4)
        for layer in self.layers:
            x = layer(F.leaky_relu(x, 0.2))
        return torch.tanh(x)


def turned(images: np.ndarray) -> torch.Tensor:
    """Our images (n, height, width, channels) as (n, channels, height, width), turned by half a turn."""
    return torch.from_numpy(np.ascontiguousarray(images[:, ::-1, ::-1].transpose(0, 3, 1, 2)))


def to_torch(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Our weights as the state of a `Generator`. Linear in them: gradients convert alike."""
    turn = lambda rows: turned(rows.reshape(len(rows), 4, 4, -1)).flatten(1)
    state = {"first.weight": turn(weights["first/kernel"]).T, "first.bias": turn(weights["first/bias"][None])[0]}
    for i in range(len(weights) // 2 - 1):
        state[f"layers.{i}.weight"] = torch.from_numpy(weights[f"conv{i}/kernel"].transpose(0, 3, 1, 2).copy())
        state[f"layers.{i}.bias"] = torch.tensor(weights[f"conv{i}/bias"])
    return state


class Learner:
    """Alternating back-propagation with unadjusted Langevin steps, from our weights, images and z; compiled or not."""

    def __init__(self, weights: dict, images: np.ndarray, z: np.ndarray, compiled: bool = False, device: str = "cpu"):
        state = to_torch(weights)
        features = [weights["conv0/kernel"].shape[0], *(len(state[k]) for k in state if "layers" in k and "bias" in k)]
        layout = torch.channels_last if compiled else torch.contiguous_format  # the faster one of each
        self.net = Generator(z.shape[1], features).to(device, memory_format=layout)
        self.images = turned(images).to(device, memory_format=layout)
        self.net.load_state_dict(state)
        self.z = torch.tensor(z, device=device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE, betas=(0.5, 0.999), fused=True)
        self.step, self.error, self.draw = self._step, self._error, self.net
        if compiled:
            self.step, self.error, self.draw = map(torch.compile, (self._step_in_one, self._error, self.net))

    def negative_log_joint(self, z: torch.Tensor) -> torch.Tensor:
        """-log p(y, z) summed over the examples, without its constants."""
        return self._error(z) / (2 * SIGMA**2) + (z**2).sum() / 2

    def infer(self, num_steps: int = NUM_STEPS) -> None:
        """Runs all chains from where they stand. W needs no gradient meanwhile."""
        self.net.requires_grad_(False)
        for _ in range(num_steps):
            self.z = self.step(self.z)
        self.net.requires_grad_(True)

    def learn(self) -> float:
        """Moves W by Adam and returns the mean squared error."""
        self.optimizer.zero_grad(set_to_none=True)
        error = self.error(self.z)
        (error / (2 * SIGMA**2)).backward()
        self.optimizer.step()
        return error.item() / self.images.numel()

    def by_muon(self) -> None:
        """Learns kernels by torch.optim.Muon, as in x out matrices that share their memory; biases by AdamW."""
        weights = {name: p for name, p in self.net.named_parameters() if name.endswith("weight")}
        as_matrix = lambda name, w: w.T if name == "first.weight" else w.reshape(len(w), -1)
        matrices = {name: nn.Parameter(as_matrix(name, w.data)) for name, w in weights.items()}
        groups = []
        for matrix in matrices.values():
            scale = math.sqrt(max(1, matrix.shape[1] / matrix.shape[0]))
            groups.append({"params": [matrix], "lr": scale * RATIO * MUON_RATE, "weight_decay": DECAY / scale})
        muon = torch.optim.Muon(groups, momentum=0.9)  # rows are fewer than columns: no factor of its own
        biases = [p for name, p in self.net.named_parameters() if name not in weights]
        adam = torch.optim.AdamW(biases, MUON_RATE, betas=(0.5, 0.999), weight_decay=DECAY, fused=True)
        fall = lambda t: (1 + math.cos(math.pi * min(1, t / NUM_ITERATIONS))) / 2
        schedules = [torch.optim.lr_scheduler.LambdaLR(optimizer, fall) for optimizer in (muon, adam)]

        def step():
            for name, w in weights.items():
                matrices[name].grad = as_matrix(name, w.grad)
            for optimizer, schedule in zip((muon, adam), schedules, strict=True):
                optimizer.step()
                schedule.step()

        self.optimizer.step = step

    def curve(self, num_iterations: int, until: float) -> list[tuple[float, float]]:
        """Returns (seconds since it began, error) of every iteration, up to one whose error is that small."""
        begin, points = time.perf_counter(), []
        while len(points) < num_iterations and (not points or points[-1][1] > until):
            error = self.iterate()
            points.append((time.perf_counter() - begin, error))
        return points

    def iterate(self) -> float:
        """One iteration: inference and learning."""
        self.infer()
        return self.learn()

    @torch.no_grad()
    def images_of(self, z: torch.Tensor) -> np.ndarray:
        """Images as a screen shows them: z in, numbers from 0 to 255 out."""
        return ((self.draw(z).permute(0, 2, 3, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()

    def _step(self, z):
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.negative_log_joint(z), z)
        with torch.no_grad():
            return z - STEP_SIZE**2 / 2 * gradient + STEP_SIZE * torch.randn_like(z)

    def _step_in_one(self, z):  # what torch.compile can make one program of
        gradient = torch.func.grad(self.negative_log_joint)(z)
        return z - STEP_SIZE**2 / 2 * gradient + STEP_SIZE * torch.randn_like(z)

    def _error(self, z):
        return ((self.images - self.net(z)) ** 2).sum()


def main(form: str, file: str, device: str, action: str) -> float | list[tuple[float, float]]:
    """Returns the median seconds of three calls of an action, after one that is not counted, or a `curve`."""
    torch.set_float32_matmul_precision("high" if device == "cuda" else "highest")  # TF32, as jax does by default
    torch.manual_seed(0)
    weights = dict(np.load(file))
    images, z = weights.pop("images"), weights.pop("z")
    learner = Learner(weights, images, z, form == "compile", device)
    if action.startswith("learn by"):
        if action == "learn by muon":
            learner.by_muon()
        return learner.curve(NUM_ITERATIONS if action == "learn by muon" else 250, 0.006)
    actions = {"iteration": learner.iterate, "ten steps": lambda: learner.infer(10), "learning": learner.learn}
    actions |= {"images": lambda: learner.images_of(learner.z), "image": lambda: learner.images_of(learner.z[:1])}

    def finished():
        actions[action]()
        if device == "cuda":
            torch.cuda.synchronize()

    finished()
    return stopwatch(finished, 3)


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    print(json.dumps(main(*sys.argv[1:])), file=answer)
