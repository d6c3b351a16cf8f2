"""Steering does what TransformerLens and SAELens would do with the same hooks, to rounding, on every path there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from random_model import CONTEXT, FEATURES, LAYERS, in_transformer_lens, make_model, make_sae
from sae_lens import SAE
from transformer_lens import HookedTransformer
from transformer_lens.model_bridge import TransformerBridge

from axon_shell.engine import one_row, recorded
from axon_shell.engine.generate import generate
from axon_shell.engine.gpt2 import ShortCut
from axon_shell.engine.hooks import FINAL_RESIDUAL
from axon_shell.engine.model import Model, load_model
from axon_shell.engine.recorded import RecordedStep
from axon_shell.engine.sae import Sae, load_sae
from axon_shell.engine.steering import Steering
from axon_shell.engine.stream import Stream
from axon_shell.errors import EngineError, InvalidSetting, NotFound
from axon_shell.records import Edit, Settings, Step

CPU = torch.device("cpu")
TEXT = "the cat sat on the mat and the dog"
PLACES = ("hook_resid_pre", "attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post")
KINDS: dict[str, dict[str, Any]] = {
    "standard": {},
    "gated": {},
    "jumprelu": {},
    "jumprelu layer norm": {"architecture": "jumprelu", "normalize_activations": "layer_norm"},
    "topk": {"k": 12, "normalize_activations": "layer_norm"},
    "rescaled": {"architecture": "topk", "k": 12, "rescale_acts_by_decoder_norm": True},
    "constant": {"architecture": "standard", "normalize_activations": "constant_norm_rescale"},
    "centred": {"architecture": "jumprelu", "centre": True},
    "matching_pursuit": {"max_iterations": 9, "apply_b_dec_to_input": True},
}
Points = dict[str, Callable[[torch.Tensor, object], torch.Tensor]]


def quiet(stage: str) -> None:
    pass


@pytest.fixture(scope="module", params=["modules", "short cut"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """GPT-2 through Hugging Face's modules, and by the short way that large ones take for one token."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "short cut":
            patch.setattr(one_row, "SMALLEST", 0)
        found = load_model(make_model(tmp_path_factory.mktemp("model")), CPU, quiet)
        with Stream(found, [], CONTEXT) as stream:
            assert isinstance(stream.short_cut, ShortCut) == (request.param == "short cut")
        yield found


@pytest.fixture(scope="module")
def oracle(model: Model) -> HookedTransformer:
    return in_transformer_lens(model)


def sae_of(model: Model, folder: Path, hook: str, **settings: Any) -> Sae:
    return load_sae(make_sae(folder, hook, **settings), model, quiet)


def strongest(model: Model, sae: Sae, ids: Sequence[int], position: int, count: int = 2) -> list[int]:
    """Features that fire at a position."""
    with Stream(model, sae.hooks, CONTEXT) as stream:
        found = stream.feed(ids).captured
    read = sae.read(found[sae.spec.hook], found[sae.target], count)
    assert (read.activations[position] > 0).all()
    return read.features[position].tolist()


def by_hand(edits: Sequence[Edit], centre: bool, folder: Path, seen: dict[str, torch.Tensor]) -> Callable:
    """A hook function as one would write it with SAELens: other activations decoded, the SAE's error kept."""
    reference = SAE.load_from_disk(folder)
    reference.turn_off_forward_pass_hook_z_reshaping()

    def decoded(x: torch.Tensor, edited: Sequence[Edit]) -> torch.Tensor:
        activations = reference.encode(x)
        for edit in edited:
            value = edit.value if edit.kind != "add" else activations[edit.start :, edit.feature] + edit.value
            activations[edit.start :, edit.feature] = value
        return reference.decode(activations)

    @torch.no_grad()
    def hook(x: torch.Tensor, hook: object) -> torch.Tensor:
        rows = x[0].flatten(1)
        source = rows - rows.mean(-1, keepdim=True) if centre else rows
        error = rows - decoded(source, ())
        out = decoded(source, edits) + error
        seen["after"] = out
        return out.reshape(x.shape)

    return hook


def passes(model: Model, sae: Sae, ids: Sequence[int], cut: int, edits: Sequence[Edit]) -> tuple[torch.Tensor, ...]:
    """Logits, the SAE's place and the final residual of a text, `cut` tokens at once and the rest one by one."""
    with Stream(model, [*sae.hooks, FINAL_RESIDUAL], len(ids), Steering(edits, [sae], True, CPU)) as stream:
        found = [stream.feed(ids[:cut]), *(stream.feed([token]) for token in ids[cut:])]
        logits = torch.cat([stream.logits(one.hidden) for one in found])
    return (logits, *(torch.cat([one.captured[name] for one in found]) for name in (sae.target, FINAL_RESIDUAL)))


@pytest.mark.parametrize("place", PLACES)
def test_edits_equal_transformer_lens_at_every_place(
    model: Model, oracle: HookedTransformer, tmp_path: Path, place: str
) -> None:
    sae = sae_of(model, tmp_path, hook := f"blocks.1.{place}")
    agree(model, oracle, sae, tmp_path, hook)


@pytest.mark.parametrize("kind", KINDS)
def test_edits_equal_sae_lens_for_every_architecture(
    model: Model, oracle: HookedTransformer, tmp_path: Path, kind: str
) -> None:
    sae = sae_of(model, tmp_path, hook := "blocks.1.hook_resid_post", **{"architecture": kind} | KINDS[kind])
    agree(model, oracle, sae, tmp_path, hook)


def agree(model: Model, oracle: HookedTransformer, sae: Sae, folder: Path, hook: str) -> None:
    """Three edits of one SAE at once, from positions in the prompt and after it, give what hooks by hand give."""
    ids = model.tokens(TEXT, model.bos)
    first, second = strongest(model, sae, ids, 4)
    silent = next(n for n in range(FEATURES) if n not in (first, second))
    edits = [
        Edit(sae.spec.id, first, "ablate", start=2),
        Edit(sae.spec.id, second, "set", 3.5, start=4),
        Edit(sae.spec.id, silent, "add", -2.0, start=len(ids) - 2),
    ]
    seen: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        plain = oracle(torch.tensor([ids]))[0]
        expected = oracle.run_with_hooks(
            torch.tensor([ids]), fwd_hooks=[(hook, by_hand(edits, sae.centre, folder, seen))]
        )[0]
    for cut in (len(ids), 3):
        logits, there, _ = passes(model, sae, ids, cut, edits)
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(there, seen["after"], atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(logits[:2], plain[:2], atol=1e-4, rtol=1e-4)
        assert (logits - plain)[4:].abs().amax(-1).min() > 1e-3


def test_edits_of_two_saes_at_one_place_see_the_same_vector(
    model: Model, oracle: HookedTransformer, tmp_path: Path
) -> None:
    hook = "blocks.1.hook_resid_post"
    saes = [sae_of(model, tmp_path / str(seed), hook, seed=seed, id=f"random/{seed}") for seed in (1, 2)]
    ids = model.tokens(TEXT, model.bos)
    edits = [Edit(sae.spec.id, strongest(model, sae, ids, 3)[0], "ablate", start=1) for sae in saes]
    before: dict[str, torch.Tensor] = {}

    def both(x: torch.Tensor, hook: object) -> torch.Tensor:
        hands = [by_hand([edit], False, tmp_path / str(seed), before) for seed, edit in zip((1, 2), edits, strict=True)]
        return x + sum(hand(x, None) - x for hand in hands)

    with torch.no_grad():
        expected = oracle.run_with_hooks(torch.tensor([ids]), fwd_hooks=[(hook, both)])[0]
    for cut in (len(ids), 3):
        with Stream(model, [hook], len(ids), Steering(edits, saes, True, CPU)) as stream:
            found = [stream.feed(ids[:cut]), *(stream.feed([token]) for token in ids[cut:])]
            logits = torch.cat([stream.logits(one.hidden) for one in found])
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)


def test_a_transcoder_writes_where_it_reconstructs(model: Model, tmp_path: Path) -> None:
    sae = sae_of(model, tmp_path, "blocks.1.hook_resid_mid", architecture="transcoder")
    ids = model.tokens(TEXT, model.bos)
    with Stream(model, sae.hooks, CONTEXT) as stream:
        plain = stream.feed(ids).captured
    read = sae.read(plain[sae.spec.hook], plain[sae.target], 1)
    feature, activation = int(read.features[4, 0]), float(read.activations[4, 0])
    for cut in (len(ids), 3):
        _, there, _ = passes(model, sae, ids, cut, [Edit(sae.spec.id, feature, "set", activation + 2, start=4)])
        torch.testing.assert_close(there[4] - plain[sae.target][4], 2 * sae.sae.W_dec[feature], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(there[:4], plain[sae.target][:4])


# -- other families, a GPU's way, the bridge ------------------------------------


@pytest.fixture(scope="module", params=["gpt_neox", "gemma2", "llama", "opt", "falcon", "phi"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(make_model(tmp_path_factory.mktemp(request.param), family=request.param), CPU, quiet)


@pytest.mark.parametrize("place", ["hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post", "attn.hook_z"])
def test_edits_equal_the_bridge_in_every_family(other: Model, tmp_path: Path, place: str) -> None:
    hook = f"blocks.1.{place}"
    sae = sae_of(other, tmp_path, hook)
    ids = other.tokens(TEXT, other.bos)
    edits = [
        Edit(sae.spec.id, strongest(other, sae, ids, 3)[0], "ablate", start=2),
        Edit(sae.spec.id, strongest(other, sae, ids, 3)[1], "add", 3.0, start=3),
    ]
    bridge = TransformerBridge.boot_transformers(str(other.spec.weights), device="cpu", dtype=torch.float32)
    with torch.no_grad():
        hand = by_hand(edits, False, tmp_path, {})
        expected = bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=[(hook, hand)])[0]
        plain = bridge(torch.tensor([ids]))[0]
    assert (expected - plain)[3:].abs().amax(-1).min() > 1e-3
    for cut in (len(ids), 3):
        logits, *_ = passes(other, sae, ids, cut, edits)
        torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-3)


def test_the_middle_of_a_block_goes_on_past_the_mlp(tmp_path: Path) -> None:
    """In Hugging Face's modules and in the bridge, that place is only the input of a normalisation."""
    for family in ("llama", "gemma2", "gpt2"):
        model = load_model(make_model(tmp_path / family, family=family), CPU, quiet)
        sae = sae_of(model, tmp_path / f"{family}-sae", "blocks.1.hook_resid_mid")
        ids = model.tokens(TEXT, model.bos)
        edit = Edit(sae.spec.id, 5, "add", 4.0, start=3)
        names = ["blocks.1.hook_resid_mid", "blocks.1.hook_mlp_out", "blocks.1.hook_resid_post"]
        inside = "blocks.1.ln2.hook_scale"  # no module's input or output: all goes through the bridge then
        found = []
        for more in ([], [inside]):
            with Stream(model, [*names, *more], len(ids), Steering([edit], [sae], True, CPU)) as stream:
                assert stream.places.bridged == bool(more)
                found.append(stream.feed(ids))
        for one in found:
            mid, mlp, post = (one.captured[name] for name in names)
            torch.testing.assert_close(mid + mlp, post, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[0].hidden, found[1].hidden, atol=1e-4, rtol=1e-4)
        with Stream(model, names, len(ids)) as stream:
            plain = stream.feed(ids).captured
        moved = found[0].captured[names[0]] - plain[names[0]]
        torch.testing.assert_close(moved[3:], 4 * sae.sae.W_dec[5].expand(len(ids) - 3, -1), atol=1e-5, rtol=1e-5)


def test_the_recorded_step_is_steered_from_the_position_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU records its second new token, here before the edits begin, and plays that back for all further ones."""
    model = load_model(make_model(tmp_path / "model", family="gpt_neox"), CPU, quiet)
    sae = sae_of(model, tmp_path / "sae", "blocks.1.hook_resid_post", architecture="standard")
    ids = model.tokens(TEXT, model.bos)
    edits = [
        Edit(sae.spec.id, strongest(model, sae, ids, 7)[0], "set", 9.0, start=7),
        Edit(sae.spec.id, 5, "add", 3.0, start=8),
    ]
    expected, *_ = passes(model, sae, ids, 3, edits)
    masks: list[int] = []

    def tape(work: Callable[[], None]) -> Callable[[], None]:
        steering = stream.steering
        assert steering
        masks.extend(one.on.data_ptr() for one in steering.steered)
        return work

    monkeypatch.setitem(recorded.RECORDERS, "cpu", tape)
    with Stream(model, [*sae.hooks, FINAL_RESIDUAL], len(ids), Steering(edits, [sae], True, CPU)) as stream:
        assert isinstance(stream.short_cut, RecordedStep)
        found = [stream.feed(ids[:3])]
        for token in ids[3:]:
            found.append(stream.feed([token]))
            if masks:  # what is in force lies where it lay when the pass was recorded
                assert [one.on.data_ptr() for one in stream.steering.steered] == masks
        logits = torch.cat([stream.logits(one.hidden) for one in found])
    assert masks
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


# -- a session -----------------------------------------------------------------


def run(model: Model, saes: list[Sae], edits: Sequence[Edit], **settings: Any) -> list[Step]:
    settings = {"max_tokens": 8, "seed": 3, "temperature": 1.2, "top_features": 200} | settings
    ids = model.tokens(TEXT, model.bos)
    *steps, _ = generate(model, saes, ids, True, Settings(**settings), lambda: False, edits=edits)
    return steps


def test_features_are_read_after_the_edit_and_bos_is_left_alone(model: Model, tmp_path: Path) -> None:
    sae = sae_of(model, tmp_path, "blocks.1.hook_resid_post", architecture="standard")
    endless = replace(model, ends=frozenset())
    overlaps = (sae.sae.W_dec * sae.sae.W_enc.T).sum(-1)  # what the encoder sees of one unit of each row
    feature = max(strongest(model, sae, model.tokens(TEXT, model.bos), 3, 40), key=lambda n: float(overlaps[n]))
    plain, steered = (run(endless, [sae], edits) for edits in ((), [Edit(sae.spec.id, feature, "set", 40.0)]))
    read = 0
    for before, after in zip(plain[1:], steered[1:], strict=True):
        was, now = (
            {f.feature: f.activation for f in step.saes[sae.spec.id].features}.get(feature) for step in (before, after)
        )
        if was and before.is_prompt:  # what follows is another text
            read += 1
            assert now == pytest.approx(was + (40 - was) * float(overlaps[feature]), rel=1e-3)
    assert read
    assert plain[0].alternatives == steered[0].alternatives
    assert plain[1].alternatives != steered[1].alternatives


def test_an_edit_that_begins_later_changes_nothing_before(model: Model, tmp_path: Path) -> None:
    """With the same seed, tokens, features and probabilities are the same up to the edit, to rounding."""
    saes = [
        sae_of(model, tmp_path / name, f"blocks.{layer}.hook_resid_post", id=f"random/{name}")
        for layer, name in ((0, "early"), (LAYERS - 1, "late"))
    ]
    endless = replace(model, ends=frozenset())
    start = len(model.tokens(TEXT, model.bos)) + 3
    plain, steered = (run(endless, saes, edits) for edits in ((), [Edit("random/early", 3, "add", 30.0, start=start)]))
    assert [step.token_id for step in plain[: start + 1]] == [step.token_id for step in steered[: start + 1]]
    for before, after in zip(plain[:start], steered[:start], strict=True):
        assert before.entropy == pytest.approx(after.entropy, abs=1e-5)
        assert before.saes.keys() == after.saes.keys()
    assert plain[start].entropy != pytest.approx(steered[start].entropy, abs=1e-3)


def test_the_hooks_come_off(model: Model, tmp_path: Path) -> None:
    sae = sae_of(model, tmp_path, "blocks.1.hook_resid_mid")
    run(model, [sae], [Edit(sae.spec.id, 3, "ablate")])
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.network.modules())


def test_edits_that_cannot_be_are_refused(model: Model, tmp_path: Path) -> None:
    sae = sae_of(model, tmp_path, "blocks.1.hook_resid_post")
    for edits, kind, says in (
        ([Edit("random/none", 3, "ablate")], NotFound, "does not read this session"),
        ([Edit(sae.spec.id, FEATURES, "ablate")], NotFound, f"no feature {FEATURES}"),
        ([Edit(sae.spec.id, 3, "ablate"), Edit(sae.spec.id, 3, "add", 1.0)], InvalidSetting, "edited twice"),
    ):
        with pytest.raises(kind, match=says) as error:
            run(model, [sae], edits)
        assert error.value.hint
    for given in (
        ("s", 3, "double"),
        ("s", -1, "ablate"),
        ("s", 3, "add", float("nan")),
        ("s", 3, "set", float("inf")),
        ("s", 3, "set", 1e7),
        ("s", 3, "set", True),
        ("s", 3, "ablate", 2.0),
        ("s", 3, "ablate", 0.0, -2),
        ("s", 3.5, "ablate"),
    ):
        with pytest.raises(InvalidSetting) as error:
            Edit(*given)
        assert error.value.hint


def test_an_edit_that_is_too_strong_is_told(tmp_path: Path) -> None:
    model = load_model(make_model(tmp_path / "model"), CPU, quiet, torch.float16)
    sae = sae_of(model, tmp_path / "sae", "blocks.1.hook_resid_post")
    with pytest.raises(EngineError, match="not finite") as error:
        run(model, [sae], [Edit(sae.spec.id, 3, "add", 1e6)])
    assert "smaller value" in error.value.hint
