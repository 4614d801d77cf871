"""Our decoder layers against transformers' Qwen2, and what preparing them for inference keeps."""

import copy

import psutil
import pytest
import torch
from torch import nn
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RotaryEmbedding

from kimi_demo.model.cache import Causal, MaskedDecode, SlotCache
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.language_model import Feed, LanguageModel
from kimi_demo.model.layers import DecoderLayer, RotaryTable
from kimi_demo.model.linear import FusedLinear, pack_linears
from kimi_demo.model.prompt import PromptStreams

CONFIG = LanguageModelConfig(
    vocabulary_size=96,
    hidden_size=64,
    intermediate_size=80,
    num_layers=3,
    num_heads=4,
    num_kv_heads=2,
    num_audio_layers=2,
    branch_layer=1,
    audio_token_offset=64,
    adaptor_input_size=8,
    media_begin=50,
    media_end=51,
    pad=0,
    rope_theta=1e4,
    max_positions=64,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = LanguageModel(CONFIG)
    for parameter in built.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)
        else:
            nn.init.normal_(parameter, mean=float(parameter.mean() > 0.5), std=0.1)
    return built.eval().requires_grad_(False)


def prompt_of(length, first=3):
    ids = [(first + 7 * n) % 60 for n in range(length)]
    return PromptStreams(ids, [64 + n % 30 for n in range(length)], [False] * length)


def test_a_layer_is_that_of_transformers(model):
    twin_config = Qwen2Config(
        hidden_size=CONFIG.hidden_size,
        intermediate_size=CONFIG.intermediate_size,
        num_attention_heads=CONFIG.num_heads,
        num_key_value_heads=CONFIG.num_kv_heads,
        rms_norm_eps=CONFIG.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": CONFIG.rope_theta},
        attn_implementation="sdpa",
    )
    layer: DecoderLayer = model.model.layers[0]
    twin = Qwen2DecoderLayer(twin_config, 0).eval()
    twin.load_state_dict(layer.state_dict())
    x, positions = torch.randn(2, 9, CONFIG.hidden_size), torch.arange(9)[None]
    ours = layer(x, RotaryTable(CONFIG).at(positions, x.dtype), Causal())
    theirs = twin(x, position_embeddings=Qwen2RotaryEmbedding(twin_config)(x, positions))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def logits_along(model, cache, prompt, feeds):
    found = [model.prefill(prompt, cache, 0)]
    found += [model.decode([feed], cache) for feed in feeds]
    return torch.cat([one.text for one in found]), torch.cat([one.audio for one in found])


FEEDS = [Feed(0, 12 + n, 5 + n, 70 + n) for n in range(6)]


def test_prepared_for_inference_it_scores_the_same_and_only_what_can_be_drawn(model):
    prepared = copy.deepcopy(model)
    prepared.fuse(range(60), range(50, 96))
    assert {n: p.shape for n, p in prepared.named_parameters()} == {
        n: p.shape for n, p in model.named_parameters()
    }
    plain = logits_along(model, model.new_cache(1), prompt_of(12), FEEDS)
    fused = logits_along(prepared, prepared.new_cache(1), prompt_of(12), FEEDS)
    torch.testing.assert_close(fused[0], plain[0][:, :60], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fused[1], plain[1][:, 50:], atol=1e-5, rtol=1e-5)


def test_steps_with_a_cache_are_one_pass_over_the_whole(model):
    prompt = prompt_of(12)
    text, audio = logits_along(model, model.new_cache(1), prompt, FEEDS)
    fed = [(feed.text_id, feed.audio_id) for feed in FEEDS]
    whole = PromptStreams(
        prompt.text_ids + [t for t, _ in fed], prompt.audio_ids + [a for _, a in fed], [False] * 18
    )
    logits = model.prefill(whole, model.new_cache(1), 0, all_positions=True)
    torch.testing.assert_close(text, logits.text[0, 11:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(audio, logits.audio[0, 11:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_prompt_can_be_read_in_pieces(model, cut):
    prompt = prompt_of(12)
    cache = model.new_cache(1, fill=torch.nan)
    whole = model.prefill(prompt, model.new_cache(1), 0)
    model.prefill(prompt, cache, 0, range(cut))
    pieces = model.prefill(prompt, cache, 0, range(cut, 12))
    torch.testing.assert_close(pieces.text, whole.text, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pieces.audio, whole.audio, atol=1e-5, rtol=1e-5)


def test_a_branch_that_nobody_wants_is_not_computed(model):
    text_only = model.decode([Feed(0, 0, 5, 70, speaks=False)], model.new_cache(1))
    assert text_only.audio is None
    cache = model.new_cache(2, fill=torch.nan)
    both = model.decode([Feed(0, 0, 5, 70), Feed(1, 0, 6, 71, writes=False)], cache)
    assert (len(both.text), len(both.audio)) == (1, 2)
    for layer in range(CONFIG.branch_layer + 1, CONFIG.num_layers):
        assert cache.keys[layer][1].isnan().all()  # the text branch of the row that writes no more


def test_masked_steps_of_all_slots_are_the_sliced_ones(model, monkeypatch):
    """The way of accelerators: other slots are idle, and their cells stay as they are."""
    prompts = {0: prompt_of(9), 2: prompt_of(17, first=11)}
    found = []
    for way in ("_decode_sliced", "_decode_masked"):
        cache = model.new_cache(3)
        for slot, prompt in prompts.items():
            model.prefill(prompt, cache, slot)
        idle = cache.keys[0][1, :, :-1].clone()
        feeds = [Feed(0, 9, 5, 70), Feed(2, 17, 6, 71, writes=False)]
        logits = getattr(model, way)(feeds, cache)
        assert torch.equal(cache.keys[0][1, :, :-1], idle)
        found.append((logits.text, logits.audio))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)
    assert MaskedDecode(model.new_cache(1), torch.tensor([3]), 4)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 16])
def test_joined_products_do_not_depend_on_the_number_of_rows(rows):
    torch.manual_seed(1)
    layers = [nn.Linear(64, 48), nn.Linear(64, 32)]
    x = torch.randn(32, 64)
    expected = torch.cat([layer(x) for layer in layers], -1)
    joined = FusedLinear(layers)
    torch.testing.assert_close(joined(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(joined(x[:rows]), joined(x)[:rows], atol=1e-6, rtol=1e-6)


def test_packed_layers_take_the_place_of_the_plain_ones():
    torch.manual_seed(2)
    plain = nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 8, bias=False))
    packed = copy.deepcopy(plain)
    pack_linears(packed)
    assert [p.shape for p in packed.parameters()] == [p.shape for p in plain.parameters()]
    x = torch.randn(5, 16)
    torch.testing.assert_close(packed(x), plain(x), atol=1e-6, rtol=1e-5)


def test_prompts_agree_up_to_the_first_other_id_or_sound():
    ids, heard = [1, 2, 3, 4, 5, 6, 7], [True, True, False, True, True, False, False]
    one, two = torch.ones(2, 3), torch.zeros(2, 3)
    prompt = PromptStreams(ids, [9] * 7, heard, [one, two])
    for features, other_ids, common in (
        ([one.clone(), two.clone()], ids, 7),
        ([one, two], [*ids[:6], 8], 6),
        ([one, one], ids, 3),
        ([two, two], ids, 0),
    ):
        other = PromptStreams(other_ids, [9] * 7, heard, features)
        assert prompt.common_positions(other) == common


def test_a_cache_takes_memory_when_it_is_written():
    process = psutil.Process()
    before = process.memory_info().rss
    cache = SlotCache([torch.device("cpu")], 4, 8, 4095, 64, torch.float32)
    assert sum(cells.nbytes for cells in (*cache.keys, *cache.values)) == 2**26
    cache.keys[0][1, :, :16] = 1.0
    assert process.memory_info().rss - before < 2**22
