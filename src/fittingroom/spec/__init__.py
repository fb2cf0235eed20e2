"""What an experiment is: frozen types, overrides, digests, records. No torch, no disk but the recipe files."""
