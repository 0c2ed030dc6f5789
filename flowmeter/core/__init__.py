"""The compiled core: frames to packets, packets to flows."""
