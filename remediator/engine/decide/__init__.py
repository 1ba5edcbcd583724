"""Deciding: what one evaluation observes and decides, before anything is written to a cluster."""
