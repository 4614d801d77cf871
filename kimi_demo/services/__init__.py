"""What page, API and commands share above the engine: long texts, long sounds, conversations."""
