"""Features and alternatives as bytes, such that what comes back equals what went in.

Numbers are packed little-endian in the smallest form that brings all of them back exactly: activations that were
float32 in the model take four bytes, any other float eight. Packed readings can be joined end to end, so the chunks of
a session become one blob without being read.

    readings      "<5sII"  codes (position, unexplained, feature, activation, effect), number of positions, of features
                  positions, l0, number of features of each position; unexplained; then feature by feature:
                  ids; activations; effects (code "-": all null, "m"/"M": float32/64 after a bit per feature, 1 = null)
    alternatives  "<3sB"   codes (token id, log-probability, length), how many
                  ids; log-probabilities; bytes of each text; the texts in UTF-8
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

Reading = dict[str, Any]  # of one SAE at one position, as in a step message

HEADER = struct.Struct("<5sII")
EFFECTS = {"f": ("f", False), "d": ("d", False), "m": ("f", True), "M": ("d", True)}  # code: (number, some are null)


def pack_readings(readings: Sequence[tuple[int, Reading]]) -> bytes:
    """Positions with their readings, ascending, as one chunk of bytes. Labels are left out."""
    features = [feature for _, reading in readings for feature in reading["features"]]
    effects = [feature["effect"] for feature in features]
    position_code, positions = pack_smallest(
        "HI",
        [position for position, _ in readings]
        + [reading["l0"] for _, reading in readings]
        + [len(reading["features"]) for _, reading in readings],
    )
    unexplained_code, unexplained = pack_smallest("fd", [reading["unexplained"] for _, reading in readings])
    id_code, ids = pack_smallest("HI", [feature["feature"] for feature in features])
    activation_code, activations = pack_smallest("fd", [feature["activation"] for feature in features])
    effect_code, packed_effects = pack_effects(effects)
    codes = position_code + unexplained_code + id_code + activation_code + effect_code
    header = HEADER.pack(codes.encode(), len(readings), len(features))
    return header + positions + unexplained + ids + activations + packed_effects


def unpack_readings(data: bytes, first: int, stop: int) -> Iterator[tuple[int, Reading]]:
    """The readings of the positions from `first` to before `stop`, out of chunks joined end to end."""
    offset = 0

    def take(count: int, code: str) -> tuple[Any, ...]:
        nonlocal offset
        values = struct.unpack_from(f"<{count}{code}", data, offset)
        offset += struct.calcsize(f"<{count}{code}")
        return values

    while offset < len(data):
        codes, n_positions, n_features = HEADER.unpack_from(data, offset)
        offset += HEADER.size
        position_code, unexplained_code, id_code, activation_code, effect_code = codes.decode()
        positions, l0, counts = (take(n_positions, position_code) for _ in range(3))
        unexplained = take(n_positions, unexplained_code)
        ids, activations = take(n_features, id_code), take(n_features, activation_code)
        effects: Sequence[float | None] = [None] * n_features
        if effect_code != "-":
            number, some_null = EFFECTS[effect_code]
            null = unpack_bits(take((n_features + 7) // 8, "B"), n_features) if some_null else "0" * n_features
            effects = [None if bit == "1" else x for x, bit in zip(take(n_features, number), null, strict=True)]
        begin = 0
        for i, position in enumerate(positions):
            end = begin + counts[i]
            if first <= position < stop:
                features = [
                    {"feature": feature, "activation": activation, "effect": effect}
                    for feature, activation, effect in zip(
                        ids[begin:end], activations[begin:end], effects[begin:end], strict=True
                    )
                ]
                yield position, {"l0": l0[i], "unexplained": unexplained[i], "features": features}
            begin = end


def pack_alternatives(alternatives: Sequence[dict[str, Any]]) -> bytes:
    """The alternatives of one position as bytes."""
    texts = [alternative["text"].encode() for alternative in alternatives]
    id_code, ids = pack_smallest("HI", [alternative["token_id"] for alternative in alternatives])
    logprob_code, logprobs = pack_smallest("fd", [alternative["logprob"] for alternative in alternatives])
    length_code, lengths = pack_smallest("BHI", [len(text) for text in texts])
    codes = id_code + logprob_code + length_code
    return struct.pack("<3sB", codes.encode(), len(texts)) + ids + logprobs + lengths + b"".join(texts)


def unpack_alternatives(data: bytes) -> list[dict[str, Any]]:
    """The alternatives that `pack_alternatives` packed."""
    codes, count = struct.unpack_from("<3sB", data)
    layout = "<" + "".join(f"{count}{code}" for code in codes.decode())
    values = struct.unpack_from(layout, data, 4)
    ids, logprobs, lengths = values[:count], values[count : 2 * count], values[2 * count :]
    alternatives = []
    begin = 4 + struct.calcsize(layout)
    for token_id, logprob, length in zip(ids, logprobs, lengths, strict=True):
        text = data[begin : begin + length].decode()
        alternatives.append({"token_id": token_id, "text": text, "logprob": logprob})
        begin += length
    return alternatives


def pack_smallest(codes: str, values: Sequence[float]) -> tuple[str, bytes]:
    """The values as bytes, with the first of these `struct` codes that brings them back exactly."""
    for code in codes[:-1]:
        layout = f"<{len(values)}{code}"
        try:
            data = struct.pack(layout, *values)
        except (struct.error, OverflowError):
            continue
        if struct.unpack(layout, data) == tuple(values):
            return code, data
    return codes[-1], struct.pack(f"<{len(values)}{codes[-1]}", *values)


def pack_effects(effects: Sequence[float | None]) -> tuple[str, bytes]:
    """Effects, of which some or all may be null, as bytes with their code."""
    null = "".join("1" if effect is None else "0" for effect in effects)
    if "0" not in null:
        return "-", b""
    code, data = pack_smallest("fd", [0.0 if effect is None else effect for effect in effects])
    if "1" not in null:
        return code, data
    return {"f": "m", "d": "M"}[code], int(null, 2).to_bytes((len(null) + 7) // 8, "little") + data


def unpack_bits(data: Sequence[int], count: int) -> str:
    """The bits that `pack_effects` packed, as "0" and "1"."""
    return format(int.from_bytes(bytes(data), "little"), f"0{count}b")
