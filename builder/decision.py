"""From probabilities to answers. Numpy only: a packaged STA does it with every flow.

Of two classes the second, the positive one, need not be the likelier one to be answered: how sure
is sure enough is learnt by :func:`builder.evaluation.operating.best_threshold`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from builder.preprocess import Floats

EVEN: Final = 0.5  # the threshold at which the likelier class is answered


def decide(probabilities: Floats, threshold: float = EVEN) -> npt.NDArray[np.int64]:
    """Class number of each row of ``probabilities`` [n, classes].

    Of two classes the second is answered where it is likelier than ``threshold``; of more, or at
    `EVEN`, the likeliest.

    Examples
    --------
    >>> import numpy as np
    >>> said = np.array([[0.7, 0.3], [0.9, 0.1]], dtype=np.float32)
    >>> decide(said).tolist(), decide(said, 0.2).tolist()
    ([0, 0], [1, 0])
    """
    if threshold == EVEN or probabilities.shape[1] != 2:
        likeliest: npt.NDArray[np.int64] = probabilities.argmax(axis=1)
        return likeliest
    return (probabilities[:, 1] > threshold).astype(np.int64)
