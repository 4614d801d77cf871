"""From a name to a filled model.

locate, hub: its files; layout: how they lie; conversion, publishing: from and to the release's own
form. parts: the modules, empty; inspection: whether the files fit them. planning, placement: on
which device each lies; quantization; loading: fills them. released, random_weights: the release's
sizes without its files.
"""
