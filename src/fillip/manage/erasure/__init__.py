"""Erasures of users: asked for, carried out step by step, and told of."""
