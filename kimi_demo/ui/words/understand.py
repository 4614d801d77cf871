"""Words of the tab for questions about a sound."""

EN: dict[str, str] = {
    "tab_understand": "Understand",
    "understand_task": "What do you want to know?",
    "understand_ask": "Own question",
    "understand_task_emotion": "Emotion",
    "understand_task_sound": "Sound event",
    "understand_task_event": "Sound event",
    "understand_task_scene": "Scene",
    "understand_task_language": "Language",
    "understand_task_speaker": "Speaker",
    "understand_task_mmau": "Multiple choice",
    "understand_question": "Question",
    "understand_question_placeholder": "How many beeps are there?",
    "understand_options": "Options",
    "understand_options_info": "Change them as you like; commas separate them.",
    "understand_start": "Answer",
    "understand_answer": "Answer",
    "understand_answer_placeholder": "The answer is written here.",
    "understand_chart": "How likely each option is",
    "understand_note": "Record or choose a sound, then ask. Files: wav, flac, ogg, opus or mp3, up "
    "to {seconds} s. Nothing is kept beyond an hour.",
}

ZH: dict[str, str] = {
    "tab_understand": "声音理解",
    "understand_task": "您想知道什么？",
    "understand_ask": "自由提问",
    "understand_task_emotion": "情绪",
    "understand_task_sound": "声音事件",
    "understand_task_event": "声音事件",
    "understand_task_scene": "声学场景",
    "understand_task_language": "语言",
    "understand_task_speaker": "说话人",
    "understand_task_mmau": "选择题",
    "understand_question": "问题",
    "understand_question_placeholder": "有几声滴滴声？",
    "understand_options": "选项",
    "understand_options_info": "可以随意修改，用逗号分隔。",
    "understand_start": "回答",
    "understand_answer": "回答",
    "understand_answer_placeholder": "回答会显示在这里。",
    "understand_chart": "各选项的可能性",
    "understand_note": "先录音或选择声音，再提问。支持 wav、flac、ogg、opus、mp3 文件，"
    "最长 {seconds} 秒。文件最多保留一小时。",
}
