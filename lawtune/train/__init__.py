"""From encoded examples to an adapter, or from raw text to a small model."""
