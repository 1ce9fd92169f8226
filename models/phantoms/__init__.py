"""Drawn images whose truth is known, one module a modality."""
