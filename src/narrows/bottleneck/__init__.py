"""The mathematics: channel, prior, optimisation, path and rate, as functions on tensors."""
