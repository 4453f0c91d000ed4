"""Rollouts, measured: beside its peers on one lab, and simulated at size."""
