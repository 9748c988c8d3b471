"""Adapters: LoRAs and other changes of weights, and IP-Adapters."""
