"""The devices that a run computes on, and where its arrays live."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def describe_device() -> str:
    """Returns one line that says on what jax computes."""
    device = jax.devices()[0]
    kind = {"cpu": "the CPU", "gpu": "a GPU", "tpu": "a TPU"}.get(device.platform, device.platform)
    return f"jax {jax.__version__} computes on {kind} ({device.device_kind}, {jax.device_count()} device(s))."


class Devices:
    """Where the arrays of a run live: on the default device, or spread over a mesh.

    Examples are shared out along the first axis of the mesh, W is on every device. The images and z are spread too if
    their number divides evenly, else every device has all of them; the work is shared out either way.
    """

    def __init__(self, mesh: Mesh | None):
        self.mesh = mesh and Mesh(mesh.devices, mesh.axis_names)  # its axes left to the partitioner (`AxisType.Auto`)
        self.size = mesh.shape[mesh.axis_names[0]] if mesh else 1

    def replicate(self, tree: Any):
        """A copy of every array on every device."""
        place = partial(_place, sharding=self.mesh and NamedSharding(self.mesh, PartitionSpec()))
        return jax.tree.map(place, tree)

    def spread(self, array: jax.Array):
        """Shares out the rows of an array over the devices, if they divide evenly."""
        return _place(array, self.mesh and self.rows()) if len(array) % self.size == 0 else self.replicate(array)

    def distribute(self, state: NamedTuple, images: jax.Array, masks: jax.Array | None):
        """The state with W on every device, and z, images (n, ...) and masks (or None) shared out."""
        state = self.replicate(state)._replace(z=self.spread(state.z))
        return state, self.spread(images), None if masks is None else self.spread(masks)

    def gather(self, tree: Any):
        """The same arrays on the default device, whole, in every process."""
        return tree if self.mesh is None else jax.tree.map(_whole, tree)

    def rows(self) -> NamedSharding:
        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))

    def share_out(self, indices: jax.Array):
        """Inside a compiled function: the work on a batch is shared out over the devices."""
        return indices if self.mesh is None else jax.lax.with_sharding_constraint(indices, self.rows())


def _place(array: jax.Array, sharding: NamedSharding | None):
    if sharding is None or getattr(array, "is_fully_addressable", True) is False:  # the latter is spread already
        return array if isinstance(array, jax.Array) else jnp.asarray(array)
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _place(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _whole(array: jax.Array):
    here = array.is_fully_addressable or array.is_fully_replicated
    return jnp.asarray(np.asarray(array) if here else multihost_utils.process_allgather(array, tiled=True))


def agreed(*values: int) -> list[int]:
    """The values of the first process, so that all processes of a run do the same. One process needs no agreement."""
    if jax.process_count() == 1:
        return list(values)
    return [int(v) for v in multihost_utils.broadcast_one_to_all(np.array(values))]


def mesh_of(images: jax.Array) -> Mesh | None:
    """Returns the mesh of images that come spread over one already, else None."""
    sharding = getattr(images, "sharding", None)
    return sharding.mesh if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1 else None
