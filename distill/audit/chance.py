"""What "at chance" means for answers that come in clusters."""

from __future__ import annotations

import numpy as np

ALARM = 0.001
"""A canary counts as heard where guessing would do as well with less than this probability."""


def chance_bound(margins: np.ndarray) -> float:
    """Bound the probability that guesses are right as often as these answers.

    Windows that share a drawn label are right or wrong together, so a binomial test of windows would call a lucky draw
    a leak. Here every cluster is one throw of a fair coin, however many windows it has: if nothing leaks, exchanging the
    two labels of a cluster, which is as likely as not, turns its margin round, and leaves all others alone. For signs
    e_i of fair coins and margins m_i, Hoeffding's inequality gives P(sum e_i |m_i| >= t) <= exp(-t^2 / (2 sum m_i^2)). It
    holds for any number of clusters of any sizes.

    Source: W. Hoeffding, "Probability Inequalities for Sums of Bounded Random Variables", JASA 58 (1963), theorem 2.

    Parameters
    ----------
    margins : ndarray, any shape
        Windows that are right minus windows that are wrong, for every cluster and draw of its label.

    Returns
    -------
    float, 0 to 1
        1 where no more than half are right.

    Examples
    --------
    >>> round(chance_bound(np.ones(10)), 5)  # ten right answers; a coin shows ten heads with probability 0.00098
    0.00674
    >>> round(chance_bound(np.array([100.0, -100.0, 100.0])), 5)  # three clusters of 100 windows, two of them right
    0.84648
    """
    total, power = float(margins.sum()), float(np.square(margins, dtype=np.float64).sum())
    return 1.0 if total <= 0 else float(np.exp(-(total**2) / (2 * power)))
