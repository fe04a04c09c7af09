"""`jobtide doctor`: tries everything that a worker, the controller and the cluster need, and says what to do."""
