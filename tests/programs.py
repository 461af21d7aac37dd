"""What an iteration computes, as one program each: called as they are, every operation would be compiled on its own."""

import jax

from abp_jax import learning

run_chains = jax.jit(learning.run_chains, static_argnames=("f", "chain"))
infer_latents = jax.jit(learning.infer_latents, static_argnames=("f", "chain"))
iterate = jax.jit(learning.iterate, static_argnames=("generate", "optimizer", "chain", "whitening"))
learn = jax.jit(learning.learn, static_argnames=("generate", "optimizer", "sigma"))
learning_gradient = jax.jit(learning.learning_gradient, static_argnames=("generate", "sigma"))


def assign(variable, value):
    """Gives a variable of nnx another value, with flax 0.10 too."""
    if hasattr(variable, "set_value"):
        variable.set_value(value)
    else:
        variable.value = value
