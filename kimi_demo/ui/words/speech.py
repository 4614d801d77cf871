"""Words of the text-to-speech tab."""

from kimi_demo.services.reading import MAX_READING_CHARS

EN: dict[str, str] = {
    "speech_limit": f"Up to {MAX_READING_CHARS:,} characters, read sentence by sentence.",
    "speech_sentence": "Sentence {index} of {total}",
    "speech_kept": "Stopped. The {seconds} s spoken so far are kept below.",
}

ZH: dict[str, str] = {
    "speech_limit": f"最多 {MAX_READING_CHARS:,} 个字符，逐句朗读。",
    "speech_sentence": "第 {index} 句，共 {total} 句",
    "speech_kept": "已停止。已朗读的 {seconds} 秒保留在下方。",
}
