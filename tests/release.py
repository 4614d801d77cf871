"""The release in miniature: a random checkpoint, tiny, in exactly the published layout.

Everything that surprises loaders is there: the numbering of the shards, stored rotary tables, a
decoder beside the acoustic encoder, files without `metadata.format`, pickles with optimizer copies
beside the weights, weight norm, layers that nobody uses, remote code, and the speech tokenizer in a
repository of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

from kimi_demo.checkpoint.released import tiny
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.config import FlowConfig
from kimi_demo.model.detokenizer.flow import FlowTransformer
from kimi_demo.model.detokenizer.vocoder import Vocoder
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.model.language_model import LanguageModel
from kimi_demo.model.speech_tokenizer import SpeechTokenizerEncoder
from kimi_demo.model.text_tokenizer import write_ranks
from kimi_demo.model.vocabulary import Vocabulary, published_special_tokens

NAME = "Kimi-Audio-7B-Instruct"
SPEECH_TOKENIZER = "glm-4-voice-tokenizer"
SHARDS = 36
CODES = 64
WIDTH = 32  # of both encoders
MEL_BINS = 128  # of both encoders
MERGES = (b"th", b"he", b"in", b"er", b" t", b" a")


def write_release(root: Path, seed: int = 0) -> Path:
    """Writes root/Kimi-Audio-7B-Instruct and, beside it, root/glm-4-voice-tokenizer.

    Returns: the folder of the checkpoint.
    """
    folder = root / NAME
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vocabulary = _write_text_tokenizer(folder)
        _write_language_model(folder, vocabulary)
        _write_acoustic_encoder(folder / "whisper-large-v3")
        _write_flow(folder / "audio_detokenizer")
        _write_vocoder(folder / "vocoder")
        _write_speech_tokenizer(root / SPEECH_TOKENIZER)
    _write_unneeded(folder)
    return folder


def _write_text_tokenizer(folder: Path) -> Vocabulary:
    """All bytes, a few merges, and a configuration that names the special tokens nowhere in order:
    that is remote code's business."""
    pieces = [bytes([value]) for value in range(256)] + list(MERGES)
    folder.mkdir(parents=True)
    write_ranks(folder / "tiktoken.model", {piece: rank for rank, piece in enumerate(pieces)})
    config = {
        "added_tokens_decoder": {},
        "auto_map": {"AutoTokenizer": ["tokenization_kimia.TikTokenTokenizer", None]},
        "bos_token": "[BOS]",
        "clean_up_tokenization_spaces": False,
        "eos_token": "[EOS]",
        "model_max_length": 1_048_576,
        "pad_token": "[PAD]",
        "tokenizer_class": "TikTokenTokenizer",
        "unk_token": "[UNK]",
    }
    _write_json(folder / "tokenizer_config.json", config)
    return Vocabulary.published(len(pieces))


def _write_language_model(folder: Path, vocabulary: Vocabulary) -> None:
    config = tiny(_base_tokens(vocabulary)).language_model
    _write_json(folder / "config.json", config.to_json() | _remote(config, vocabulary))
    tensors = LanguageModel(config).state_dict() | _rotary_tables(config)
    half = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    _write_shards(folder, half)


def _base_tokens(vocabulary: Vocabulary) -> int:
    return vocabulary.token_offset - len(published_special_tokens())


def _remote(config: LanguageModelConfig, vocabulary: Vocabulary) -> dict[str, object]:
    """What the published config.json says besides."""
    base = _base_tokens(vocabulary)
    code = "modeling_moonshot_kimia.MoonshotKimiaForCausalLM"
    return {
        "architectures": ["MoonshotKimiaForCausalLM"],
        "auto_map": {"AutoModelForCausalLM": code},
        "bos_token_id": base,
        "eos_token_ids": [base + 1, base + 2],
        "kimia_audio_output_vocab": config.vocabulary_size - vocabulary.token_offset,
        "kimia_text_output_vocab": vocabulary.token_offset,
        "model_type": "kimi_audio",
        "num_audio_special_tokens": 0,
        "num_base_tokens": base,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "use_whisper_feature": True,
    }


def _rotary_tables(config: LanguageModelConfig) -> dict[str, Tensor]:
    exponents = torch.arange(0, config.head_size, 2) / config.head_size
    layers = [f"layers.{n}" for n in range(config.num_layers)]
    layers += [f"mimo_layers.{n}" for n in range(config.num_audio_layers)]
    return {
        f"model.{layer}.self_attn.rotary_emb.inv_freq": config.rope_theta**-exponents
        for layer in layers
    }


def _write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """35 files that count to 35, and one more."""
    names, weight_map = list(tensors), {}
    for number in range(1, SHARDS + 1):
        of = max(number, SHARDS - 1)
        file = f"model-{number}-of-{of}.safetensors"
        held = names[number - 1 :: SHARDS]
        save_file({name: tensors[name].contiguous() for name in held}, folder / file)
        weight_map |= dict.fromkeys(held, file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    _write_json(folder / "model.safetensors.index.json", index)


def _write_acoustic_encoder(folder: Path) -> None:
    """With its decoder, in float16."""
    config = WhisperConfig(**_whisper_sizes(), decoder_layers=2, max_target_positions=8)
    state = WhisperForConditionalGeneration(config).state_dict()
    learned = {name: t.half() for name, t in state.items() if name != "proj_out.weight"}  # tied
    _write_encoder(folder, config, learned)


def _write_speech_tokenizer(folder: Path) -> None:
    """All layers of the Whisper that it was made of; half of them are used."""
    quantizer = {
        "pooling_kernel_size": 4,
        "pooling_type": "avg",
        "pooling_position": 2,
        "quantize_vocab_size": CODES,
        "quantize_causal_block_size": 200,
        "quantize_encoder_only": True,
        "encoder_causal_convolution": True,
        "encoder_causal_attention": False,
        "quantize_causal_encoder": False,
    }
    sizes = {**_whisper_sizes(), **quantizer}
    state = SpeechTokenizerEncoder(WhisperConfig(**sizes, quantize_position=4)).state_dict()
    averages = {"ema_count": torch.ones(CODES), "ema_weight": state["codebook.weight"].clone()}
    _write_encoder(folder, WhisperConfig(**sizes, quantize_position=2), state | averages)


def _whisper_sizes() -> dict[str, int]:
    return {
        "num_mel_bins": MEL_BINS,
        "d_model": WIDTH,
        "encoder_layers": 4,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 64,
        "max_source_positions": 1500,
        "vocab_size": 16,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "decoder_start_token_id": 2,
    }


def _write_encoder(folder: Path, config: WhisperConfig, tensors: Mapping[str, Tensor]) -> None:
    folder.mkdir()
    config.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=MEL_BINS).save_pretrained(folder)
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / "model.safetensors")


def _write_flow(folder: Path) -> None:
    """The weights, and twice as much that an optimizer has left."""
    config = FlowConfig(vocabulary_size=CODES, hidden_size=48, depth=2, num_heads=4)
    folder.mkdir()
    text = yaml.safe_dump(config.to_yaml(), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    torch.save(flow_pickle(FlowTransformer(config).state_dict()), folder / "model.pt")


def flow_pickle(weights: Mapping[str, Tensor]) -> dict[str, object]:
    """What the released audio_detokenizer/model.pt holds around the weights."""
    named = {f"speech_model.{name}": tensor for name, tensor in weights.items()}
    moments = {
        number: {"step": torch.tensor(1.0), "exp_avg": t.clone(), "exp_avg_sq": t.clone()}
        for number, t in enumerate(weights.values())
    }
    return {
        "state_dict": named | {"resampler.kernel": torch.randn(1, 1, 16)},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 1e-4}]}],
        "global_step": 1,
    }


def _write_vocoder(folder: Path) -> None:
    """Weight norm in pairs, and the fixed filters."""
    config = VocoderConfig(
        upsample_rates=(5, 2, 2, 2, 2, 3, 2),
        upsample_kernel_sizes=(9, 4, 4, 4, 4, 5, 4),
        upsample_initial_channel=128,
        resblock_kernel_sizes=(3,),
        resblock_dilation_sizes=((1, 3, 5),),
        use_tanh_at_final=False,
        use_bias_at_final=False,
    )
    folder.mkdir()
    _write_json(folder / "config.json", config.to_json())
    generator = Vocoder(config, weight_norm=True).published_tensors()
    torch.save({"generator": generator}, folder / "model.pt")


def _write_unneeded(folder: Path) -> None:
    """Files of the release that are never read; the code in them must not run."""
    refusal = 'raise RuntimeError("remote code runs")\n'
    for module in ("modeling_moonshot_kimia", "configuration_moonshot_kimia", "tokenization_kimia"):
        (folder / f"{module}.py").write_text(refusal, encoding="utf-8")
    (folder / "README.md").write_text("# Kimi-Audio\n", encoding="utf-8")
    (folder / ".gitattributes").write_text("*.pt filter=lfs\n", encoding="utf-8")
    _write_json(folder / "generation_config.json", {"do_sample": True})
    _write_json(folder / "special_tokens_map.json", {"bos_token": "[BOS]"})
    _write_json(folder / "whisper-large-v3" / "tokenizer.json", {})
    _write_json(folder / "whisper-large-v3" / "generation_config.json", {})


def _write_json(path: Path, values: object) -> None:
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
