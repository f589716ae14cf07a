"""Trains, judges and publishes the gate: is a picture a frontal chest radiograph at all?

The network sees radiographs of training patients against strangers: the same radiographs turned,
inverted, cut or shuffled, generated pictures, and photographs. Real medical pictures of other
kinds (CT, MR, ultrasound, a leg) are never trained on; they judge.
"""
