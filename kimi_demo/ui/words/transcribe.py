"""Words of the transcription tab."""

from kimi_demo.audio import MAX_FILE_S

_MINUTES = f"{MAX_FILE_S / 60:g}"

EN: dict[str, str] = {
    "transcribe_note": "A recording is transcribed as soon as you stop it. Files: wav, flac, ogg, "
    f"opus, mp3, m4a, mp4 or webm, up to {_MINUTES} minutes. Nothing is kept beyond an hour.",
    "transcribe_seeking": "Looking for speech",
    "transcribe_part": "Part {index} of {total}, at {at}",
    "transcribe_time": "Time",
    "transcribe_words": "Words",
    "transcribe_download": "Download the transcript",
}

ZH: dict[str, str] = {
    "transcribe_note": "停止录音后立即开始识别。"
    "支持 wav、flac、ogg、opus、mp3、m4a、mp4、webm 文件，"
    f"最长 {_MINUTES} 分钟。文件最多保留一小时。",
    "transcribe_seeking": "正在寻找语音",
    "transcribe_part": "第 {index} 段，共 {total} 段，位于 {at}",
    "transcribe_time": "时间",
    "transcribe_words": "内容",
    "transcribe_download": "下载识别结果",
}
