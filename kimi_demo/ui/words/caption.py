"""Words of the captioning tab."""

EN: dict[str, str] = {
    "tab_caption": "Captioning",
    "caption_language": "Describe in",
    "caption_start": "Describe",
    "caption_answer": "Description",
    "caption_answer_placeholder": "What can be heard is written here.",
    "caption_note": "Any sound: a voice, a machine, a street. A recording is described as soon as "
    "you stop it. Files: wav, flac, ogg, opus or mp3, up to {seconds} s. Nothing is kept beyond an "
    "hour.",
    "caption_spectrogram": "Mel spectrogram",
    "caption_spectrogram_alt": "Mel spectrogram of {seconds} s of sound, from 0 to 8000 Hz",
}

ZH: dict[str, str] = {
    "tab_caption": "声音描述",
    "caption_language": "描述语言",
    "caption_start": "描述",
    "caption_answer": "描述结果",
    "caption_answer_placeholder": "听到的声音会描述在这里。",
    "caption_note": "任何声音都可以：人声、机器、街道。停止录音后立即开始描述。"
    "支持 wav、flac、ogg、opus、mp3 文件，最长 {seconds} 秒。文件最多保留一小时。",
    "caption_spectrogram": "梅尔频谱图",
    "caption_spectrogram_alt": "{seconds} 秒声音的梅尔频谱图，0 至 8000 Hz",
}
