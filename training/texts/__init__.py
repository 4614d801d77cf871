"""Texts to train on and to be judged by: open sentences, written and spoken forms, dialogues."""
