"""What `python -m training evaluate` measures: a checkpoint on material that it never saw.

texts, voices, recordings   the material: what is said, by whom, and what people recorded
judge, scores               the ear that judges speech, and error rates
bench                       how an engine is asked, as page and commands ask it
speaking, hearing, talking, understanding, links, speed   the measurements
rows, table                 the rows with their aims; the table of what was reached
"""
