"""Live conversation: who speaks when, as a machine without socket or clock."""
