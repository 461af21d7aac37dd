"""The exercise in PyTorch: the network, its Langevin chains and its learning step, from the weights of ours.

PyTorch's layer with padding 2 and output padding 1, the usual way to double an image, crops the other side than "SAME"
does. Turned by half a turn, the two agree exactly, kernels and all. So this network draws our images upside down and
mirrored: only the first layer's weights and the images are turned, once, and what is timed is the usual layer.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FORMS = ("eager", "channels_last", "compile")


class Generator(nn.Module):
    """Linear to 4x4, then 5x5 stride-2 transposed convolutions, then tanh.

    Args:
      latent_dim: d, the length of z.
      features: channels from the 4x4 layer to the image, for instance (512, 256, 128, 64, 3).
    """

    def __init__(self, latent_dim: int, features: tuple[int, ...]):
        super().__init__()
        self.features = features
        self.first = nn.Linear(latent_dim, 16 * features[0])
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 5, stride=2, padding=2, output_padding=1)
            for a, b in zip(features, features[1:], strict=False)
        )

    def forward(self, z):
        """Maps z (n, d) to images (n, channels, height, width)."""
        x = self.first(z).view(len(z), self.features[0], 4, 4)
        for layer in self.layers:
            x = layer(F.leaky_relu(x, 0.2))
        return torch.tanh(x)


def turned(images: np.ndarray) -> torch.Tensor:
    """Our images (n, height, width, channels), as (n, channels, height, width) and turned by half a turn; both ways."""
    return torch.from_numpy(np.ascontiguousarray(images[:, ::-1, ::-1].transpose(0, 3, 1, 2)))


def to_torch(weights: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Our weights, "layer/kernel" -> array, as the state of a `Generator`. Linear in them: gradients convert alike."""
    kernel, bias = weights["first/kernel"], weights["first/bias"]
    state = {"first.weight": _turn_first(kernel).T, "first.bias": _turn_first(bias[None])[0]}
    for i in range(sum(name.endswith("/kernel") for name in weights) - 1):
        state[f"layers.{i}.weight"] = weights[f"conv{i}/kernel"].transpose(0, 3, 1, 2)  # (in, out, k, k)
        state[f"layers.{i}.bias"] = weights[f"conv{i}/bias"]
    return {name: torch.from_numpy(np.array(array)) for name, array in state.items()}


def _turn_first(kernel):
    grid = kernel.reshape(len(kernel), 4, 4, -1)[:, ::-1, ::-1]
    return grid.transpose(0, 3, 1, 2).reshape(len(kernel), -1)


def negative_log_joint(net: nn.Module, z, images, sigma: float):
    """-log p(y, z) summed over the examples, without its constants."""
    return ((images - net(z)) ** 2).sum() / (2 * sigma**2) + (z**2).sum() / 2


def langevin_step(net: nn.Module, z, images, sigma: float, step_size):
    """One step for every example, by the autograd tape."""
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(negative_log_joint(net, z, images, sigma), z)
    with torch.no_grad():
        return z - step_size**2 / 2 * gradient + step_size * torch.randn_like(z)


def compiled_langevin_step(net: nn.Module) -> Callable:
    """The same step as one compiled program: gradient, noise and update."""

    def step(z, images, sigma, step_size):
        gradient = torch.func.grad(lambda z: negative_log_joint(net, z, images, sigma))(z)
        return z - step_size**2 / 2 * gradient + step_size * torch.randn_like(z)

    step = torch.compile(step)
    return lambda _, *arguments: step(*arguments)


class Learner:
    """Alternating back-propagation with plain Langevin dynamics.

    Args:
      weights: ours, see `to_torch`.
      images: ours, (n, height, width, channels).
      z: where the chains start, (n, d).
      form: one of FORMS. "compile" is channels_last and compiled, the fastest of what we tried: compiling the network
        alone, the loss or the gradient, in either memory layout.
      device: "cpu" or "cuda".
      sigma: standard deviation of the noise.
    """

    def __init__(self, weights, images, z, form: str, *, device: str = "cpu", sigma: float = 0.3):
        layout = torch.contiguous_format if form == "eager" else torch.channels_last
        kernels = [weights[f"conv{i}/kernel"] for i in range(len(weights) // 2 - 1)]
        features = (kernels[0].shape[0], *(kernel.shape[-1] for kernel in kernels))
        self.start = to_torch(weights), torch.from_numpy(np.array(z))
        self.device, self.sigma = device, sigma
        self.net = Generator(z.shape[1], features).to(device, memory_format=layout)
        self.images = turned(images).to(device, memory_format=layout)
        self.step = compiled_langevin_step(self.net) if form == "compile" else langevin_step
        self.square_errors = torch.compile(self._square_errors) if form == "compile" else self._square_errors
        self.render = torch.compile(self.net) if form == "compile" else self.net
        self.reset()

    def reset(self, step_size: float = 0.003, learning_rate: float = 2e-3, num_steps: int = 30):
        """Starts anew from the first weights and z, with other settings."""
        weights, z = self.start
        self.net.load_state_dict(weights)
        self.z, self.num_steps = z.to(self.device), num_steps
        self.step_size = torch.tensor(step_size, device=self.device)  # as a number it would be compiled in
        self.optimizer = torch.optim.Adam(self.net.parameters(), learning_rate, betas=(0.5, 0.999), fused=True)
        torch.manual_seed(0)

    def infer(self, num_steps: int | None = None):
        """Runs all chains from where they stand. W needs no gradient meanwhile."""
        self.net.requires_grad_(False)
        for _ in range(num_steps or self.num_steps):
            self.z = self.step(self.net, self.z, self.images, self.sigma, self.step_size)
        self.net.requires_grad_(True)

    def learn(self) -> torch.Tensor:
        """Moves W by Adam and returns the mean squared error, a scalar on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        errors = self.square_errors(self.z)
        (errors / (2 * self.sigma**2)).backward()
        self.optimizer.step()
        return errors.detach() / self.images.numel()

    def iterate(self) -> torch.Tensor:
        """One iteration: inference and learning."""
        self.infer()
        return self.learn()

    def _square_errors(self, z):
        return ((self.images - self.net(z)) ** 2).sum()
