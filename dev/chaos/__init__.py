"""Chaos (`make chaos`): kills, freezes and cuts off every part at random under load, and accounts for each job."""
