"""Words of the conversation tab."""

EN: dict[str, str] = {
    "tab_conversation": "Conversation",
    "conversation_chat": "Conversation",
    "conversation_empty": "Ask something: type it, say it, or choose an example.",
    "conversation_text": "Your turn",
    "conversation_text_placeholder": "Type a question. Enter sends it.",
    "conversation_send": "Send",
    "conversation_microphone": "Or speak: it is sent when you stop recording",
    "conversation_output": "Answer with",
    "conversation_output_both": "Speech and text",
    "conversation_output_text": "Text only",
    "conversation_retry": "Try again",
    "conversation_undo": "Undo",
    "conversation_export": "Export",
    "conversation_settings": "Answer settings",
    "conversation_seed_info": "The same questions and seeds get the same answers; "
    "“Try again” draws a new one.",
    "conversation_typed_examples": "Ask one of these",
    "conversation_spoken_examples": "Or let a recording ask",
    "conversation_memory": "The model remembers at most {turns} of the turns before, as far as "
    "they and your question last no longer than {seconds} s. Answers are machine-made, their "
    "voice too: please say so when you share them. Nothing is kept beyond an hour.",
    "conversation_your_sound": "Your recording, {seconds} s",
    "conversation_heard": "heard: {text}",
    "conversation_its_sound": "Spoken answer, {seconds} s",
    "conversation_nothing": "there is no question yet: type one or record it",
    "conversation_silent": "The model had no answer. Try again, or ask in other words.",
    "conversation_no_turns": "There is nothing to export yet: ask something first.",
}

ZH: dict[str, str] = {
    "tab_conversation": "对话",
    "conversation_chat": "对话",
    "conversation_empty": "请提问：可以打字、说话，或选择一个例子。",
    "conversation_text": "轮到你了",
    "conversation_text_placeholder": "输入问题，按 Enter 发送。",
    "conversation_send": "发送",
    "conversation_microphone": "或者直接说：停止录音后立即发送",
    "conversation_output": "回答方式",
    "conversation_output_both": "语音和文字",
    "conversation_output_text": "仅文字",
    "conversation_retry": "重试",
    "conversation_undo": "撤销",
    "conversation_export": "导出",
    "conversation_settings": "回答设置",
    "conversation_seed_info": "相同的问题和种子得到相同的回答；“重试”会使用新种子。",
    "conversation_typed_examples": "试着问一问",
    "conversation_spoken_examples": "或者用录音提问",
    "conversation_memory": "模型最多记得之前 {turns} 轮对话，与新问题合计不超过 {seconds} 秒。"
    "回答及其语音均由机器生成，分享时请注明。内容最多保留一小时。",
    "conversation_your_sound": "你的录音，{seconds} 秒",
    "conversation_heard": "听到：{text}",
    "conversation_its_sound": "语音回答，{seconds} 秒",
    "conversation_nothing": "还没有问题：请输入或录音",
    "conversation_silent": "模型没有回答。请重试，或换一种说法。",
    "conversation_no_turns": "还没有可以导出的内容：请先提问。",
}
