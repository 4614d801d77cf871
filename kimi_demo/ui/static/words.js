// The visitor's words among both dictionaries.
const WORDS = DICTIONARIES[(navigator.language || "en").toLowerCase().startsWith("zh") ? "zh-CN" : "en"];
