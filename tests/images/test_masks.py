import numpy as np
import pytest

from abp_jax.images import masks


@pytest.mark.parametrize("hidden", [0.5, 0.7, 0.9])
def test_scattered_blocks_hide_their_share(hidden):
    seen = masks.scattered_blocks(50, 32, hidden)
    assert seen.shape == (50, 32, 32) and seen.dtype == bool
    shares = (~seen).mean(axis=(1, 2))
    assert np.all(shares >= hidden) and np.all(shares < hidden + 9 / 32**2)
    assert len(np.unique(seen, axis=0)) == 50
    # every hidden pixel lies in a hidden block of 3 x 3, or in one that the border cuts
    padded = np.pad(~seen[0], 2, constant_values=True)
    blocks = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).all(axis=(2, 3))
    covered = np.zeros_like(padded)
    for row, column in zip(*np.nonzero(blocks), strict=True):
        covered[row : row + 3, column : column + 3] = True
    assert np.all(covered[2:-2, 2:-2] == ~seen[0])


def test_every_pixel_is_hidden_about_as_often():
    """Blocks stick out over the border, so that the pixels there are hidden as often as the others."""
    shares = (~masks.scattered_blocks(4000, 16, 0.5)).mean(axis=0)
    np.testing.assert_allclose(shares, shares.mean(), atol=6 * 0.5 / np.sqrt(4000))


def test_scattered_blocks_stop_at_the_share():
    assert np.all((~masks.scattered_blocks(5, 4, 0.5, block=1)).sum(axis=(1, 2)) == 8)


def test_one_block_comes_to_every_place_inside():
    hidden = ~masks.one_block(500, 8, 3)
    places = set(zip(hidden.any(axis=2).argmax(axis=1), hidden.any(axis=1).argmax(axis=1), strict=True))
    assert places == {(row, column) for row in range(6) for column in range(6)}


@pytest.mark.parametrize("block", [1, 10, 32])
def test_one_block_is_a_square_inside(block):
    hidden = ~masks.one_block(30, 32, block)
    assert np.all(hidden.sum(axis=(1, 2)) == block**2)
    for axis in (1, 2):
        assert np.all(hidden.any(axis=axis).sum(axis=1) == block)


def test_masks_follow_from_their_seed():
    for draw in (lambda s: masks.one_block(9, 16, 5, seed=s), lambda s: masks.scattered_blocks(9, 16, 0.3, seed=s)):
        np.testing.assert_array_equal(draw(3), draw(3))
        assert not np.array_equal(draw(3), draw(4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: masks.scattered_blocks(2, 8, 1.0), "between 0 and 1, got 1.0"),
        (lambda: masks.scattered_blocks(2, 8, 0.0), "between 0 and 1, got 0.0"),
        (lambda: masks.scattered_blocks(2, 8, 0.5, block=0), "from 1 to 8 pixels; got 0"),
        (lambda: masks.one_block(2, 8, 9), "from 1 to 8 pixels; got 9"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
