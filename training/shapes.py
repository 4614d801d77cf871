"""The widths of the embedded checkpoint: the published configuration files, written small.

Only sizes differ from the release; every class that they fill is the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from transformers import WhisperConfig, WhisperFeatureExtractor

from kimi_demo.choices import ChoiceTask
from kimi_demo.messages import Sampling, StreamSampling
from kimi_demo.model.config import LanguageModelConfig
from kimi_demo.model.detokenizer.vocoder_config import VocoderConfig
from kimi_demo.tasks import Memory, TaskTable, TextLimit
from training.scenes import EVENT_CLASSES, SCENES
from training.speech_sounds import EMOTIONS

# The voices that the checkpoint speaks with, by language.
OUTPUT_VOICES = {"en": "slt", "zh": "mandarin"}
NUM_CODES = 2048
TEXT_VOCABULARY = 1536  # base pieces, Mandarin characters, control tokens, phones, reserve
AUDIO_DELAY = 6
MEL_BINS = 80
ENCODER_WIDTH = 192
ENCODER_HEADS = 4
ENCODER_LAYERS = 3
WINDOW_FRAMES = 512  # 10.24 s at 50 Hz: both encoders split longer sounds here
WINDOW_POSITIONS = WINDOW_FRAMES // 4


def feature_extractor() -> WhisperFeatureExtractor:
    """Log-mel of both encoders: 16 kHz, 10 ms hop."""
    return WhisperFeatureExtractor(feature_size=MEL_BINS, chunk_length=WINDOW_FRAMES / 50)


def _whisper(**values: object) -> WhisperConfig:
    return WhisperConfig(
        num_mel_bins=MEL_BINS,
        d_model=ENCODER_WIDTH,
        encoder_layers=ENCODER_LAYERS,
        num_hidden_layers=ENCODER_LAYERS,
        encoder_attention_heads=ENCODER_HEADS,
        encoder_ffn_dim=4 * ENCODER_WIDTH,
        max_source_positions=WINDOW_FRAMES,
        decoder_layers=1,
        decoder_ffn_dim=4,
        decoder_attention_heads=1,
        vocab_size=8,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
        begin_suppress_tokens=None,
        attn_implementation="sdpa",
        **values,
    )


def speech_tokenizer_config() -> WhisperConfig:
    """The half of the encoder before the codebook."""
    return _whisper(
        pooling_kernel_size=4,
        pooling_type="avg",
        pooling_position=ENCODER_LAYERS,
        quantize_position=ENCODER_LAYERS,
        quantize_vocab_size=NUM_CODES,
        quantize_causal_block_size=WINDOW_FRAMES,
        quantize_encoder_only=True,
        encoder_causal_convolution=True,
        encoder_causal_attention=False,
        quantize_causal_encoder=False,
    )


def acoustic_encoder_config() -> WhisperConfig:
    """The continuous encoder."""
    return _whisper()


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


def language_model_config(tokens: Mapping[str, int]) -> LanguageModelConfig:
    """Six layers, the audio branch leaving after the fourth and adding two of its own.

    tokens: ids of the text tokenizer's special tokens.
    """
    return LanguageModelConfig(
        vocabulary_size=TEXT_VOCABULARY + NUM_CODES,
        hidden_size=256,
        intermediate_size=672,
        num_layers=6,
        num_heads=4,
        num_kv_heads=4,
        num_audio_layers=2,
        branch_layer=3,
        audio_token_offset=TEXT_VOCABULARY,
        adaptor_input_size=4 * ENCODER_WIDTH,
        media_begin=tokens["<|im_media_begin|>"],
        media_end=tokens["<|im_media_end|>"],
        pad=TEXT_VOCABULARY - 1,
        audio_delay_tokens=AUDIO_DELAY,
        rope_theta=10_000.0,
        max_positions=2048,
    )


def task_table() -> TaskTable:
    """Short prompts: every word of a prompt costs this small model a step of training."""
    greedy = Sampling(StreamSampling(), StreamSampling())
    return TaskTable(
        speech_prompts={},
        speech_prompt="say: ",
        transcription_prompts={"": "transcribe:"},
        wordings={},
        caption_prompts={"": "describe:"},
        choices={
            "emotion": ChoiceTask("which emotion?", EMOTIONS, lettered=False),
            "sound": ChoiceTask("which sound?", EVENT_CLASSES, lettered=False),
            "scene": ChoiceTask("which scene?", SCENES, lettered=False),
        },
        text_normalizer="spoken",
        max_text_chars=160,
        max_audio_s=60.0,
        max_segment_s=8.0,  # no longer utterance was heard in training
        memory=Memory(turns=1),  # nor more than one turn before the question
        reply_outputs=("both",),  # nor an answer that is not spoken
        translation_prompt="",  # nor to translate
        follows_instructions=False,
        speech_sampling=greedy,
        chat_sampling=greedy,
        listening_sampling=greedy,
        # Phones and letters of the fastest voice of the corpus are 35 ids a second.
        transcript_limit=TextLimit(ids_per_s=40.0, extra_ids=32),
        answer_limit=TextLimit(ids_per_s=0.0, extra_ids=96),  # three times the longest it learned
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
