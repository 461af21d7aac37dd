import jax
import matplotlib
import pytest

import abp_jax as abp

matplotlib.use("Agg")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def small_faces():
    """The eleven faces at 16 x 16."""
    return abp.load_lion_tiger(size=16)
