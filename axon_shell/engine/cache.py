"""The keys and values of the positions read so far, in memory that is there beforehand.

Hugging Face's own cache copies all it holds at every token: 75 MB for GPT-2 small at 1,000 positions. This one writes
the new position behind the old ones. Everything that leans on the inside of transformers' caches is in this file.
"""

from __future__ import annotations

import copy

import torch
from transformers import Cache, DynamicCache, PretrainedConfig
from transformers.cache_utils import CacheLayerMixin, DynamicLayer, DynamicSlidingWindowLayer, StaticLayer

from ..errors import EngineError

ROOM = 256  # positions made room for at first


def empty_cache(config: PretrainedConfig) -> DynamicCache:
    """A cache for one text. Layers that see a sliding window only keep Hugging Face's way: they stay short."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def fixed_cache(config: PretrainedConfig, length: int) -> Cache | None:
    """A cache of fixed size and place for a text of at most `length` tokens, which knows its fill on the device.

    None for models with other layers than attention, and for texts that are longer than a sliding window.
    """
    for layer in DynamicCache(config=config).layers:
        slides = isinstance(layer, DynamicSlidingWindowLayer) and layer.sliding_window >= length
        if type(layer) is not DynamicLayer and not slides:
            return None
    return Cache(layers=[StaticLayer(max_cache_len=length) for _ in range(config.get_text_config().num_hidden_layers)])


def branched(cache: Cache, rows: int) -> Cache:
    """A cache for so many continuations of the text that one holds, which is left as it is.

    Raises EngineError for models with other layers than attention.
    """
    twin = copy.copy(cache)
    twin.layers = [branch(layer, rows) for layer in cache.layers]
    return twin


def branch(layer: CacheLayerMixin, rows: int) -> DynamicLayer:
    """A layer that sees the keys and values of another for each of its rows, without a copy of them."""
    if not isinstance(layer, DynamicLayer):
        raise EngineError("This model keeps more than keys and values of a text.", "Ask about a model of another kind.")
    if type(layer) is not GrowingLayer:
        twin = copy.copy(layer)
    else:
        twin = DynamicLayer()
        if layer.is_initialized:
            twin.dtype, twin.device, twin.is_initialized = layer.dtype, layer.device, True
    if layer.is_initialized:
        twin.keys, twin.values = (x.expand(rows, -1, -1, -1) for x in (layer.keys, layer.values))
    return twin


def held_bytes(cache: Cache) -> int:
    """Bytes of the keys and values that a cache holds."""
    return sum(x.nbytes for layer in cache.layers if layer.is_initialized for x in (layer.keys, layer.values))


class GrowingLayer(DynamicLayer):
    """Keys and values of one attention layer, (1, heads, positions, head_dim): views of rooms that double when full."""

    keys: torch.Tensor
    values: torch.Tensor
    rooms: list[torch.Tensor]
    length = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the new positions; gives all keys and values so far."""
        start = self.length
        stop = self.length = start + key_states.shape[-2]
        if start == 0 or stop > self.rooms[0].shape[-2]:
            self.make_room(key_states, value_states, start, max(ROOM, 2 * start, stop))
        keys, values = self.rooms
        keys[:, :, start:stop] = key_states
        values[:, :, start:stop] = value_states
        self.keys, self.values = keys[:, :, :stop], values[:, :, :stop]
        return self.keys, self.values

    def make_room(self, key_states: torch.Tensor, value_states: torch.Tensor, held: int, room: int) -> None:
        """Move the positions held so far into rooms of another size."""
        rooms = [x.new_empty(*x.shape[:2], room, x.shape[3]) for x in (key_states, value_states)]
        if held:
            for new, old in zip(rooms, (self.keys, self.values), strict=True):
                new[:, :, :held] = old
        self.rooms, self.is_initialized = rooms, True
        self.dtype, self.device = key_states.dtype, key_states.device
