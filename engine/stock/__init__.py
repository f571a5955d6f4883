"""Stock: numbers, batches and their generation, custody, export, import, shredding."""
