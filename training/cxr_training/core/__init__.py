"""What every kind of training shares: errors, run directories, checkpoints, processes."""
