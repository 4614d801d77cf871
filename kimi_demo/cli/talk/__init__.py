"""Talking in a terminal, and to a benchmark: a client of live conversation.

command: options. client: the conversation. devices: microphones and loudspeakers, real and filed.
"""
