"""What a model costs here: time, memory, and what quantisation changes; told as plain values.

report: all of it. speed, memory, comparison: the measurements. surroundings: where they were made.
"""
