"""Features and alternatives as bytes, such that what comes back equals what went in.

Numbers are packed little-endian in the smallest form that brings all of them back exactly: activations that were
float32 in the model take four bytes, any other float eight. Packed readings can be joined end to end, so the chunks of
a session become one blob without being read.

    readings      "<4sII"  codes (unexplained, feature, activation, effect), number of positions, number of features
                  positions, l0, number of features of each position (u32); unexplained; then feature by feature:
                  ids; activations; effects (code "-": all null, "m"/"M": float32/64 after a bit per feature, 1 = null)
    alternatives  "<sB"    code of the log-probabilities, how many; ids (u32); log-probabilities; bytes of each text
                  (u16); the texts in UTF-8
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

Reading = dict[str, Any]  # of one SAE at one position, as in a step message

HEADER = struct.Struct("<4sII")
EFFECTS = {"f": ("f", False), "d": ("d", False), "m": ("f", True), "M": ("d", True)}  # code: (number, some are null)


def pack_readings(readings: Sequence[tuple[int, Reading]]) -> bytes:
    """Positions with their readings, ascending, as one chunk of bytes. Labels are left out."""
    features = [feature for _, reading in readings for feature in reading["features"]]
    effects = [feature["effect"] for feature in features]
    unexplained_code, unexplained = pack_smallest("fd", [reading["unexplained"] for _, reading in readings])
    id_code, ids = pack_smallest("HI", [feature["feature"] for feature in features])
    activation_code, activations = pack_smallest("fd", [feature["activation"] for feature in features])
    effect_code, packed_effects = pack_effects(effects)
    codes = unexplained_code + id_code + activation_code + effect_code
    whole = [position for position, _ in readings]
    whole += [reading["l0"] for _, reading in readings]
    whole += [len(reading["features"]) for _, reading in readings]
    return b"".join(
        (
            HEADER.pack(codes.encode(), len(readings), len(features)),
            struct.pack(f"<{len(whole)}I", *whole),
            unexplained,
            ids,
            activations,
            packed_effects,
        )
    )


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
        unexplained_code, id_code, activation_code, effect_code = codes.decode()
        positions, l0, counts = (take(n_positions, "I") for _ in range(3))
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
    code, logprobs = pack_smallest("fd", [alternative["logprob"] for alternative in alternatives])
    ids = [alternative["token_id"] for alternative in alternatives]
    head = struct.pack(f"<sB{len(ids)}I", code.encode(), len(ids), *ids)
    return head + logprobs + struct.pack(f"<{len(texts)}H", *map(len, texts)) + b"".join(texts)


def unpack_alternatives(data: bytes) -> list[dict[str, Any]]:
    """The alternatives that `pack_alternatives` packed."""
    code, count = struct.unpack_from("<sB", data)
    layout = f"<{count}I{count}{code.decode()}{count}H"
    values = struct.unpack_from(layout, data, 2)
    ids, logprobs, lengths = values[:count], values[count : 2 * count], values[2 * count :]
    alternatives = []
    begin = 2 + struct.calcsize(layout)
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
