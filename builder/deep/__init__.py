"""Neural networks of Keras 3: building, training, exporting and rebuilding them.

Only :mod:`builder.deep.family` may be imported without the extra ``deep``; the other modules
import Keras, and are imported where they are used.
"""

import os

# Keras asks for its backend when it is first imported, whichever module does that.
os.environ.setdefault("KERAS_BACKEND", "jax")
