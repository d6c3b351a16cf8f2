"""Measurements of AXON Shell, and weights of true format to take them with."""
