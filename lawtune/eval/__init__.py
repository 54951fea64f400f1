"""From a tuned model and a test set to figures that can be trusted."""
