"""The cache of keys and values holds what was put in, without copying it at every token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from transformers import DynamicCache, Gemma2Config, GPT2Config

from axon_shell.engine import cache
from axon_shell.engine.cache import GrowingLayer, empty_cache


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(1, 9))
@hypothesis_settings(deadline=None)
def test_it_holds_what_hugging_faces_cache_holds(lengths: list[int], room: int) -> None:
    ours, theirs = empty_cache(GPT2Config(n_layer=2)), DynamicCache(config=GPT2Config(n_layer=2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "ROOM", room)
        for length in lengths:
            for layer in range(2):
                keys, values = torch.randn(1, 3, length, 4), torch.randn(1, 3, length, 4)
                assert ours.get_mask_sizes(length, layer) == theirs.get_mask_sizes(length, layer)
                found, expected = ours.update(keys, values, layer), theirs.update(keys, values, layer)
                assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
            assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_new_token_is_written_behind_the_others() -> None:
    (layer,) = empty_cache(GPT2Config(n_layer=1)).layers
    for _ in range(3):
        layer.update(torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4))
    place = layer.keys.data_ptr()
    layer.update(torch.randn(1, 2, 1, 4), torch.randn(1, 2, 1, 4))
    assert layer.keys.data_ptr() == place and layer.keys.shape[-2] == 16


def test_layers_with_a_sliding_window_stay_as_they_are() -> None:
    kinds = [isinstance(layer, GrowingLayer) for layer in empty_cache(Gemma2Config(num_hidden_layers=4)).layers]
    assert kinds == [False, True, False, True]
