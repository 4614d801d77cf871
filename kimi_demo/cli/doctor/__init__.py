"""Whether a model would start here. command: options and printing. examination: the findings."""
