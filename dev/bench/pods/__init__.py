"""Figures that only real pods can give, beside KEDA's: how soon work is noticed, and what a scale-down costs."""
