"""The measurements behind `evaluate`, one module for each side of the model.

bench          how an engine is asked, and what a refusal counts
voices         the voices that are listened to, clean and degraded
speaking       what is read aloud
hearing        what is written down
talking        conversations, spoken and typed
understanding  captions, closed and open questions about sounds
new_words      sentences of words that were never trained on
table          the figures with what they should reach
"""
