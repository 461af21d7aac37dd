"""What is on the screen: explorer/, laboratory/, monitor/, films, and images as bytes (encoding)."""

from abp_jax.training.devices import describe_device
from abp_jax.widgets.encoding import png

__all__ = ["describe_device", "png"]
