"""The out-of-distribution detector: is an image a frontal chest radiograph at all?

It learns radiographs of training patients against out-of-distribution images: the same radiographs
inverted, turned, cut or shuffled, synthetic images, and photographs. Real medical images of other
kinds (CT, MR, ultrasound, a leg) are never trained on; they evaluate it.
"""
