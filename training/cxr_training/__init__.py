"""What makes the models: data sets, patient splits, training, evaluation, calibration, export."""
