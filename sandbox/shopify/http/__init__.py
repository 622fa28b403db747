"""The emulator's HTTP: sign-in, limits, control plane."""
