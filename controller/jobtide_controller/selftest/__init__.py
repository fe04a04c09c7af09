"""`helm test`: one job through the whole installation, from its INSERT until its worker has gone."""
