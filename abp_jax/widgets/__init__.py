"""What is on the screen: explorer/, laboratory/, monitor/, films, images as bytes (encoding), and what screen
readers are told (names)."""

from abp_jax.training.devices import describe_device
from abp_jax.widgets.encoding import png
from abp_jax.widgets.names import Names

__all__ = ["Names", "describe_device", "png"]
