"""How the noise is removed: schedulers, noise schedules, guidance, strength."""
