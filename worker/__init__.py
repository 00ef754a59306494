"""The GPU worker: takes messages, answers every picture in them."""
