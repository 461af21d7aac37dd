"""The latent explorer: the plane of z to move in, in a notebook or as a page of its own."""

from abp_jax.widgets.explorer.page import export_explorer
from abp_jax.widgets.explorer.widget import LatentExplorer

__all__ = ["LatentExplorer", "export_explorer"]
