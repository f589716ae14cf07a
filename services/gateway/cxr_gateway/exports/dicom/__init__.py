"""Results as DICOM objects of their study: structured reports, presentation state, page.

highdicom makes them. It takes seconds to import, so only `results.py` imports these modules, when
the first object is asked for.
"""

import logging
import warnings

# What it finds odd in a source it says with the value, and logs hold nothing of the patient.
logging.getLogger("highdicom").setLevel(logging.CRITICAL)
warnings.filterwarnings("ignore", category=UserWarning, module=r"highdicom\.")
