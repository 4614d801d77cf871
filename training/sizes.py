"""The widths of the embedded checkpoint: the published configuration files, written small.

Only sizes differ from the release; every class that they fill is the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from transformers import WhisperConfig

from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from training import ears

# The voices that the checkpoint speaks with, by language.
OUTPUT_VOICES = {"en": "af_heart", "zh": "zf_xiaoxiao"}
NUM_CODES = 2048
TOKENIZER_LAYERS = 2
AUDIO_DELAY = 6
MEL_BINS = ears.MEL_BINS
PAD_SECONDS = 1.0  # silence behind a sound that the acoustic encoder hears


def speech_tokenizer_config() -> WhisperConfig:
    """The first layers of Whisper base before the codebook; one block is the whole window."""
    return ears.config(
        TOKENIZER_LAYERS,
        pooling_kernel_size=4,
        pooling_type="avg",
        pooling_position=TOKENIZER_LAYERS,
        quantize_position=TOKENIZER_LAYERS,
        quantize_vocab_size=NUM_CODES,
        quantize_causal_block_size=1500,
        quantize_encoder_only=True,
        encoder_causal_convolution=True,
        encoder_causal_attention=False,
        quantize_causal_encoder=False,
    )


def vocoder_config() -> VocoderConfig:
    """BigVGAN with one kernel size: the cheapest that stays intelligible on a CPU."""
    return VocoderConfig.from_json(
        {
            "resblock": "1",
            "upsample_rates": [5, 2, 2, 2, 2, 3, 2],
            "upsample_kernel_sizes": [9, 4, 4, 4, 4, 5, 4],
            "upsample_initial_channel": 512,
            "resblock_kernel_sizes": [3],
            "resblock_dilation_sizes": [[1, 3, 5]],
            "use_tanh_at_final": False,
            "use_bias_at_final": False,
            "activation": "snakebeta",
            "snake_logscale": True,
            "num_mels": MEL_BINS,
            "n_fft": 1920,
            "hop_size": 480,
            "win_size": 1920,
            "sampling_rate": 24000,
            "fmin": 0,
            "fmax": None,
        }
    )


def language_model_config(tokens: Mapping[str, int], text_ids: int) -> LanguageModelConfig:
    """Eight layers, the audio branch leaving after the sixth and adding two of its own.

    tokens: ids of the text tokenizer's special tokens; text_ids: all text ids, pad the last one.
    """
    return LanguageModelConfig(
        vocabulary_size=text_ids + NUM_CODES,
        hidden_size=320,
        intermediate_size=864,
        num_layers=8,
        num_heads=5,
        num_kv_heads=5,
        num_audio_layers=2,
        branch_layer=5,
        audio_token_offset=text_ids,
        adaptor_input_size=4 * ears.WIDTH,
        media_begin=tokens["<|im_media_begin|>"],
        media_end=tokens["<|im_media_end|>"],
        pad=text_ids - 1,
        audio_delay_tokens=AUDIO_DELAY,
        rope_theta=10_000.0,
        max_positions=2048,
    )


# How the embedded detokenizer streams: small first chunk, few steps, little look-ahead.
STREAMING = {
    "first_chunk_tokens": 16,
    "chunk_tokens": 14,
    "look_ahead_tokens": 6,
    "ode_grid_points": 6,
    "max_cache_frames": 400,
    "overlap": "fixed",
}
