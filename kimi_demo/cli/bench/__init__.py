"""What a model costs here: time, memory, and what quantisation changes.

command: options. report: all figures. speed, memory, comparison: the measurements. surroundings:
where they were made.
"""
