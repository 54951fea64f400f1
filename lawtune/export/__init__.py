"""From a tuned model to the formats that others run."""
