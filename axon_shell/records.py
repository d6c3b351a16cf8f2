"""The vocabulary: plain frozen records, the same names in Python, SQL, JSON and on screen.

No torch, no SQL and no window in here. Everything about position `p` belongs to the token *at* `p`: its text, its
features and the distribution it predicts for `p + 1`. Position 0 is BOS where the model has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .errors import InvalidSetting, PromptError

Message = dict[str, Any]  # one JSON object of the stream: "start", "step" or "end"


# -- the catalogue ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HubFiles:
    """Files of a repository on the Hugging Face hub."""

    repo: str  # "google/gemma-2-2b"
    needed: tuple[str, ...]  # names or patterns (*.safetensors); without one of them nothing works
    wanted: tuple[str, ...] = ()  # fetched too where they are

    def __str__(self) -> str:
        return self.repo


MODEL_FILES = ("config.json", "tokenizer.json", "model*.safetensors")
MORE_MODEL_FILES = ("*.json", "tokenizer.model", "merges.txt")


def hub_model(repo: str) -> HubFiles:
    """The files of a language model on the hub: configuration, tokenizer and weights as safetensors."""
    return HubFiles(repo, MODEL_FILES, MORE_MODEL_FILES)


@dataclass(frozen=True, slots=True)
class PublishedSae:
    """An SAE of SAELens's directory: what `SAE.from_pretrained` calls it, and the files that takes."""

    release: str  # "gpt2-small-res-jb"
    sae_id: str  # "blocks.8.hook_resid_pre"
    files: HubFiles

    def __str__(self) -> str:
        return f"{self.release}/{self.sae_id}"


@dataclass(frozen=True, slots=True)
class SaeFiles:
    """An SAE that SAELens's directory does not list, in one of the formats that SAELens converts."""

    format: str  # SAELens's name for it: "sae_lens", "sparsify", "dictionary_learning_1", "gemma_2", ...
    place: Path | HubFiles  # its folder, or its repository
    path: str = ""  # its folder in the repository

    def __str__(self) -> str:
        return f"{self.place}/{self.path}".rstrip("/")


# A function that makes a model: a Hugging Face causal language model in evaluation mode, and its tokenizer.
Backend = Callable[[], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A language model that can be loaded: what a plugin registers."""

    id: str  # unique, as Neuronpedia spells it where it knows the model: "gpt2-small"
    name: str  # for people: "GPT-2 small"
    family: str  # "gpt2", "pythia", "gemma2"
    weights: Path | HubFiles | Backend  # a folder in Hugging Face format, a hub repository, or a function
    context: int  # positions, BOS included; 0: not known before loading
    size_bytes: int  # of the weights on disk; 0: not known before downloading
    parameters: int = 0  # numbers in the weights; 0: not known before loading
    sae: str = ""  # id of the SAE to begin with
    hook: str = ""  # a good first hook point for an SAE
    prepend_bos: bool = True  # where no SAE says otherwise
    licence: str = ""  # page where the owner wants a licence accepted before downloading
    smaller: str = ""  # id of a model to take instead where memory is too little
    examples: tuple[str, ...] = ()  # prompts that show it well
    about: str = ""
    recording: Path | None = None  # a session of it, *.axon, that the very first start plays


@dataclass(frozen=True, slots=True)
class SaeSpec:
    """A sparse autoencoder that can be loaded: what a plugin registers."""

    id: str  # MODEL/SOURCE, unique: "gpt2-small/8-res-jb"
    model: str  # id of the model that it reads
    hook: str  # TransformerLens name: "blocks.8.hook_resid_pre"; empty: not known before loading
    width: int  # number of features; 0: not known before loading
    weights: Path | PublishedSae | SaeFiles  # a folder in SAELens format, an SAE of its directory, or another format
    size_bytes: int = 0
    neuronpedia: str = ""  # "gpt2-small/8-res-jb" where Neuronpedia shows it
    refused: str = ""  # why it cannot be used, where that is known beforehand
    about: str = ""


Spec = ModelSpec | SaeSpec


@dataclass(frozen=True, slots=True)
class Label:
    """What a feature is said to mean, by whom, and how sure that is."""

    text: str
    origin: str  # who says so: "tiny-world", "neuronpedia", "you", "automatic"
    method: str  # how it was found: "measured on held-out text", "oai_token-act-pair"
    score: float | None = None  # of the kind named in score_name
    score_name: str = ""  # "F1"
    details: dict[str, Any] = field(default_factory=dict)  # precision, recall, ... shown as they are
    explainer: str = ""  # the model that wrote it: "gpt-4o-mini"
    id: str = ""  # its id at its publisher

    @property
    def is_automatic(self) -> bool:
        """Whether it was computed from the feature's tokens: then it describes nothing."""
        return self.origin == AUTOMATIC


AUTOMATIC, OWN = "automatic", "you"  # origins


@dataclass(frozen=True, slots=True)
class Context:
    """A piece of text at which a feature fires, with its activation at each token."""

    tokens: tuple[str, ...]
    activations: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FeatureFacts:
    """What a publisher knows about a feature; what it does not tell is None or empty."""

    labels: tuple[Label, ...] = ()  # none: it is unlabelled
    density: float | None = None  # share of tokens at which it fires
    max_activation: float | None = None
    promoted: tuple[tuple[str, float], ...] = ()  # tokens whose logits it raises most, with its weights on them
    suppressed: tuple[tuple[str, float], ...] = ()
    contexts: tuple[Context, ...] = ()  # where it fires most
    sae: tuple[str, str] | None = None  # release and id of the SAE in SAELens's directory that all this is of


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A file with part of the labels of one SAE, as its publisher lists it."""

    name: str  # unique within the set
    url: str
    size: int = 0  # bytes; 0: not told
    etag: str = ""  # changes when the file does; empty: not told


@dataclass(frozen=True, slots=True)
class Analyser:
    """Something worked out of each step: a number or a text for each token."""

    name: str  # unique, as it stands on screen: "surprise"
    of: Callable[[Message], float | str | None]  # a step message, without labels, to its number or text; None: nothing
    about: str = ""  # what the number or text is
    high: float | None = None  # a number that counts as high: tokens are colored in full from there; None: the highest
    unit: str = ""  # of a number: "nats"


@dataclass(frozen=True, slots=True)
class Exporter:
    """A file format that sessions can be written in."""

    name: str  # unique: "csv"
    suffix: str  # of its files: ".csv"
    write: Callable[[Sequence[Message], BinaryIO], None]  # the messages of one session, into an open file
    about: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it should be and does not stop the program."""

    name: str  # the plugin, file or setting
    message: str
    hint: str = ""


# -- a session ----------------------------------------------------------------


def steps_of(messages: Iterable[Message]) -> list[Message]:
    """The steps among messages without BOS, which is the same for every prompt."""
    return [message for message in messages if message["kind"] == "step" and not message.get("is_bos")]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a session is generated. The same seed, model, SAEs and settings give the same tokens and features."""

    max_tokens: int = 60  # new tokens, 0 = only read the prompt
    temperature: float = 0.7  # 0 = always the most probable token
    top_k: int = 50  # sample among the k most probable tokens, 0 = all
    top_p: float = 0.95  # ... and among the fewest whose probabilities add up to p, 1 = all
    repetition_penalty: float = 1.0  # divides the logit of each token seen already, 1 = none (Keskar et al. 2019)
    seed: int = 0
    top_features: int = 15  # features kept per position and SAE, strongest first

    def __post_init__(self) -> None:
        for name, (low, high, whole) in SETTING_RANGES.items():
            value = getattr(self, name)
            number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if not number or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                message = f"{name} is {value!r}, but must be {kind} from {low} to {high}."
                raise InvalidSetting(message, f"Choose {name} within {low} to {high}.")


def require_prompt(prompt: str) -> None:
    """Raise PromptError when there is nothing to begin with."""
    if not prompt.strip():
        raise PromptError("The prompt is empty.", "Type the beginning of a text and run again.")


# name: (lowest, highest, whole number)
SETTING_RANGES: dict[str, tuple[float, float, bool]] = {
    "max_tokens": (0, 100_000, True),
    "temperature": (0.0, 5.0, False),
    "top_k": (0, 1_000_000, True),
    "top_p": (0.01, 1.0, False),
    "repetition_penalty": (0.1, 10.0, False),
    "seed": (0, 2**63 - 1, True),
    "top_features": (1, 200, True),
}


EDITS = ("add", "set", "ablate")
STRONGEST_EDIT = 1e6


@dataclass(frozen=True, slots=True)
class Edit:
    """Steering: a change to one feature while a session runs, from a position on (BOS is never changed).

    The vector at the SAE's place gets c times the feature's decoder row: c is `value` to add, `value` less the
    feature's activation there to set it, and less the activation to ablate it. All else in the vector stays, what the
    SAE does not explain included.
    """

    sae: str  # id of an SAE of the session
    feature: int
    kind: str  # one of EDITS
    value: float = 0.0  # in units of activation; of an ablation always 0
    start: int = 0  # first position that is changed

    def __post_init__(self) -> None:
        name, value = f"{self.sae}:{self.feature}", self.value
        if self.kind not in EDITS:
            raise InvalidSetting(f"{self.kind!r:.40} is nothing to do with a feature.", f"Choose {', '.join(EDITS)}.")
        for what, number in (("feature", self.feature), ("position", self.start)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                raise InvalidSetting(f"{number!r:.40} is no {what}.", "Both are whole numbers from 0 on.")
        real = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not real or abs(value) > STRONGEST_EDIT:
            hint = f"Give a number from -{STRONGEST_EDIT:,.0f} to {STRONGEST_EDIT:,.0f}."
            raise InvalidSetting(f"{name} cannot be changed by {value!r:.40}.", hint)
        if self.kind == "ablate" and value:
            raise InvalidSetting(f"{name} is to be ablated, which takes no value.", f"To give it one: set={value}.")


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that a position predicts for the next one, with its log-probability (nats, temperature 1)."""

    token_id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class ActiveFeature:
    """A feature that fired at a position, with its direct effect on the next token's logit where that is known."""

    feature: int
    activation: float
    effect: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one SAE says about one position."""

    l0: int  # number of active features, all of them
    unexplained: float  # share of the vector's variance that the SAE did not reconstruct
    features: tuple[ActiveFeature, ...]  # strongest first, at most top_features


@dataclass(frozen=True, slots=True)
class NextToken:
    """The token that followed a position."""

    token_id: int
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One position of a session."""

    position: int
    is_prompt: bool
    token_id: int
    piece: str  # the token alone; bytes of an unfinished character as \\xNN
    text: str  # what this token adds to the text; empty while a character is unfinished
    logprob: float | None  # of this token given those before it; None for the first
    entropy: float  # nats, of the distribution that this position predicts
    alternatives: tuple[Alternative, ...]  # the ten most probable next tokens
    saes: dict[str, Reading]
    next: NextToken | None  # the token that followed; None at the last position
    ms: float  # wall time since the previous step, everything included; the prompt's positions share the prefill's
    is_bos: bool = False

    def as_message(self) -> Message:
        """The step as one JSON object, still without labels."""
        # Written out: dataclasses.asdict copies everything deeply, which takes a tenth of a small model's time.
        message: Message = {
            "kind": "step",
            "position": self.position,
            "is_prompt": self.is_prompt,
            "token_id": self.token_id,
            "piece": self.piece,
            "text": self.text,
            "logprob": self.logprob,
            "entropy": self.entropy,
            "alternatives": [plain(alternative) for alternative in self.alternatives],
            "saes": {
                name: {
                    "l0": reading.l0,
                    "unexplained": reading.unexplained,
                    "features": [plain(active) for active in reading.features],
                }
                for name, reading in self.saes.items()
            },
            "next": self.next and plain(self.next),
            "ms": self.ms,
        }
        return message | {"is_bos": True} if self.is_bos else message


def plain(record: Any) -> dict[str, Any]:
    """A small record with slots as a JSON object, nothing in it copied."""
    return {name: getattr(record, name) for name in record.__slots__}


@dataclass(frozen=True, slots=True)
class End:
    """How a session ended."""

    reason: str  # max_tokens, end_of_text, stopped, context_full, error; interrupted where the program died
    prompt_tokens: int  # without BOS
    new_tokens: int
    ms_per_token: float | None  # mean of the new tokens' `ms`; None without new tokens
    error: dict[str, str] | None = None  # kind, message and hint, with the reason "error"
    notes: tuple[str, ...] = ()  # signs that a steered text fell apart

    def as_message(self) -> Message:
        """The end as one JSON object."""
        message = {"kind": "end"} | asdict(self) | {"notes": list(self.notes)}
        return {name: value for name, value in message.items() if value or name not in ("error", "notes")}
