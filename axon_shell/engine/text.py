"""From token ids to text, one token at a time, without breaking characters."""

from __future__ import annotations

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode

BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}


class Decoder:
    """Streaming decoder: what each token adds to the text.

    A token that ends inside a UTF-8 character adds nothing; the token that completes it adds the whole character.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.stream = DecodeStream(skip_special_tokens=True)
        self.pieces: dict[int, str] = {}  # found already: the same few alternatives come up at every position

    def text(self, token_id: int) -> str:
        """What this token adds to the text so far."""
        return self.stream.step(self.tokenizer.backend_tokenizer, token_id) or ""

    def piece(self, token_id: int) -> str:
        """The token alone: its text, or its bytes as \\xNN where it is only part of a character."""
        if token_id not in self.pieces:
            self.pieces[token_id] = self.decode(token_id)
        return self.pieces[token_id]

    def decode(self, token_id: int) -> str:
        text = self.tokenizer.decode([token_id])
        if "\ufffd" not in text:
            return text
        raw = self.tokenizer.convert_ids_to_tokens(token_id)
        if not all(character in BYTE_OF for character in raw):
            return raw
        return bytes(BYTE_OF[character] for character in raw).decode("utf-8", "backslashreplace")
