"""What one block of each kind, and what surrounds the blocks, costs in time and bytes."""
