"""Words of the text-to-speech tab."""

from kimi_demo.engine.tasks.speak import MAX_READING_CHARS

EN: dict[str, str] = {
    "speech_limit": f"Up to {MAX_READING_CHARS:,} characters, read sentence by sentence.",
    "speech_sentence": "Sentence {index} of {total}",
    "speech_kept": "Stopped. The {seconds} s spoken so far are kept below.",
    "said_label": "Read as",
    "listen_back": "Listen back",
    "listen_back_info": "Afterwards the model writes down its own speech, and the words that it "
    "hears differently are marked.",
    "heard_progress": "Listening back, sentence {index} of {total}",
    "heard_same": "Listened back: every word was heard as it was meant.",
    "heard_differs": "Listened back: {count} of {total} words were heard differently.",
    "heard_words": "Heard:",
}

ZH: dict[str, str] = {
    "speech_limit": f"最多 {MAX_READING_CHARS:,} 个字符，逐句朗读。",
    "speech_sentence": "第 {index} 句，共 {total} 句",
    "speech_kept": "已停止。已朗读的 {seconds} 秒保留在下方。",
    "said_label": "读作",
    "listen_back": "回听",
    "listen_back_info": "朗读之后，模型会听写自己的语音，并标出听得不同的词。",
    "heard_progress": "正在回听第 {index} 句，共 {total} 句",
    "heard_same": "回听：每个词都听得与原文一致。",
    "heard_differs": "回听：{total} 个词中有 {count} 个听得不同。",
    "heard_words": "听到：",
}
