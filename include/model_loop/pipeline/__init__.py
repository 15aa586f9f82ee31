"""Steps from a training set to a champion, which DAGs and the command `model-loop run` share."""
