"""Proofs: what is promised of the operator's verbs, tried again and again by processes that are killed or compete.

Each room tries one promise and returns what came of it; tests run them in a small form, the benchmarks in full.
"""
