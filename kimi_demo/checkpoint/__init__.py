"""From a name to a filled model: where the files are, what they hold, where each part belongs.

source -> layout -> placement -> loading.
"""
